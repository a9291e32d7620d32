/**
 * Seeded random numbers for simulations: sfc32 (Chris Doty-Humphrey, PractRand), the same on every machine.
 * Normal numbers come from a table of 65,536, filled once by Box-Muller: a lookup per draw, no tails beyond 4.4 sigma.
 */
export class SeededRandom {
  #a: number
  #b: number
  #c = 1
  #counter = 1

  /** `stream` separates generators of one seed, as one per home. */
  constructor(seed: number, stream = 0) {
    this.#a = seed | 0
    this.#b = stream | 0
    for (let i = 0; i < 16; i++) this.integer()
  }

  /** 32 bits. */
  integer(): number {
    const sum = (this.#a + this.#b + this.#counter++) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** From `min` to before `max`. */
  uniform(min = 0, max = 1): number {
    return min + (max - min) * (this.integer() / 2 ** 32)
  }

  /** Mean 0, standard deviation 1. */
  normal(): number {
    return normals[this.integer() >>> 16]!
  }

  pick<A>(values: ReadonlyArray<A>): A {
    return values[Math.floor(this.uniform() * values.length)]!
  }

  /** A version 4 UUID. */
  uuid(): string {
    const hex = Array.from({ length: 4 }, () => this.integer().toString(16).padStart(8, "0")).join("")
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`
  }
}

const normals = ((): Float64Array => {
  const table = new Float64Array(65_536)
  const random = new SeededRandom(20_240_229)
  for (let i = 0; i < table.length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()))
    const angle = 2 * Math.PI * random.uniform()
    table[i] = radius * Math.cos(angle)
    table[i + 1] = radius * Math.sin(angle)
  }
  return table
})()
