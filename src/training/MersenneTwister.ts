/**
 * CPython's `random.Random` (3.10 to 3.13 agree), number for number: MT19937 with seeding by array.
 *
 * Sources: M. Matsumoto, T. Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998; CPython `Modules/_randommodule.c`
 * (seeding, 53-bit doubles) and `Lib/random.py` (`uniform`, `choices`).
 *
 * River draws the splits of its half-space trees from it, so the same seed must give the same trees here.
 */
const size = 624
const middle = 397

/** The seed's absolute value as 32-bit words, least significant first; at least one. */
const wordsOf = (seed: number | bigint): ReadonlyArray<number> => {
  let rest = BigInt(seed)
  if (rest < 0n) rest = -rest
  const words: Array<number> = []
  do {
    words.push(Number(rest & 0xffff_ffffn))
    rest >>= 32n
  } while (rest > 0n)
  return words
}

export class MersenneTwister {
  readonly #words = new Uint32Array(size)
  #index = size

  /** `seed` is an integer of any size; its sign does not matter, as in CPython. */
  constructor(seed: number | bigint) {
    this.#initialise(19_650_218)
    this.#mixIn(wordsOf(seed))
  }

  /** The next 32 bits. */
  nextUint32(): number {
    if (this.#index >= size) this.#twist()
    let y = this.#words[this.#index++]!
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c_5680
    y ^= (y << 15) & 0xefc6_0000
    return (y ^ (y >>> 18)) >>> 0
  }

  /** A double in [0, 1) with 53 random bits. */
  random(): number {
    const high = this.nextUint32() >>> 5
    const low = this.nextUint32() >>> 6
    return (high * 67_108_864 + low) * (1 / 9_007_199_254_740_992)
  }

  uniform(low: number, high: number): number {
    return low + (high - low) * this.random()
  }

  /** `choices(range(n), weights)[0]` for n = the number of weights, of which at least one is positive. */
  weightedIndex(weights: ArrayLike<number>): number {
    const last = weights.length - 1
    let total = 0
    for (let i = 0; i <= last; i++) total += weights[i]!
    const at = this.random() * total
    let sum = weights[0]!
    let i = 0
    while (i < last && at >= sum) sum += weights[++i]!
    return i
  }

  /** What Python's `getstate()[1]` holds: the 624 words, and the index of the next one. */
  state(): { readonly words: Uint32Array; readonly index: number } {
    return { words: this.#words.slice(), index: this.#index }
  }

  #initialise(seed: number): void {
    const mt = this.#words
    mt[0] = seed
    for (let i = 1; i < size; i++) {
      const previous = mt[i - 1]! ^ (mt[i - 1]! >>> 30)
      mt[i] = Math.imul(1_812_433_253, previous) + i
    }
  }

  #mixIn(key: ReadonlyArray<number>): void {
    const mt = this.#words
    let i = 1
    let j = 0
    for (let k = Math.max(size, key.length); k > 0; k--) {
      const previous = mt[i - 1]! ^ (mt[i - 1]! >>> 30)
      mt[i] = (mt[i]! ^ Math.imul(previous, 1_664_525)) + key[j]! + j
      i = this.#following(i)
      j = (j + 1) % key.length
    }
    for (let k = size - 1; k > 0; k--) {
      const previous = mt[i - 1]! ^ (mt[i - 1]! >>> 30)
      mt[i] = (mt[i]! ^ Math.imul(previous, 1_566_083_941)) - i
      i = this.#following(i)
    }
    mt[0] = 0x8000_0000
  }

  /** The index after `i`, where the end wraps round to 1 and word 0 takes the last word's value. */
  #following(i: number): number {
    if (i + 1 < size) return i + 1
    this.#words[0] = this.#words[size - 1]!
    return 1
  }

  #twist(): void {
    const mt = this.#words
    for (let k = 0; k < size; k++) {
      const y = (mt[k]! & 0x8000_0000) | (mt[(k + 1) % size]! & 0x7fff_ffff)
      mt[k] = mt[(k + middle) % size]! ^ (y >>> 1) ^ (y & 1 ? 0x9908_b0df : 0)
    }
    this.#index = 0
  }
}
