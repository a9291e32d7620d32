/**
 * Token buckets, one per key: each holds up to `capacity` tokens, starts full, and fills evenly within an hour.
 *
 * - Cost of `take`: two operations on a Map, whatever the number of keys.
 * - Memory: at most `maxKeys` buckets. Beyond that the one that was not asked for longest goes, which forgives it what
 *   it took; whoever keeps asking keeps its bucket, because a refused request counts as asking.
 * - Taking more than there is refuses and takes nothing. A bucket that is full gives anything, even more than it holds,
 *   and owes the rest: what never fits would otherwise be refused for ever.
 */
export class TokenBuckets {
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>()
  readonly #capacity: number
  readonly #maxKeys: number

  constructor(capacity: number, maxKeys = 100_000) {
    this.#capacity = capacity
    this.#maxKeys = maxKeys
  }

  get size(): number {
    return this.#buckets.size
  }

  /** 0 when the tokens were given, or else the seconds after which they would be. */
  take(key: string, amount: number, nowMs: number): number {
    const bucket = this.#filled(key, nowMs)
    const needed = Math.min(amount, this.#capacity)
    if (bucket.tokens >= needed) {
      bucket.tokens -= amount
      return 0
    }
    return Math.max(1, Math.ceil(((needed - bucket.tokens) * hourSeconds) / this.#capacity))
  }

  /** Takes what is there, and notes what is not as debt, an hour's worth at most. */
  charge(key: string, amount: number, nowMs: number): void {
    const bucket = this.#filled(key, nowMs)
    bucket.tokens = Math.max(-this.#capacity, bucket.tokens - amount)
  }

  #filled(key: string, nowMs: number) {
    const bucket = this.#buckets.get(key) ?? { tokens: this.#capacity, atMs: nowMs }
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > this.#maxKeys) {
      const [oldest] = this.#buckets.keys()
      this.#buckets.delete(oldest!)
    }
    // A clock that is set back gives nothing and takes nothing.
    const elapsedSeconds = Math.max(0, nowMs - bucket.atMs) / 1000
    bucket.tokens = Math.min(this.#capacity, bucket.tokens + (elapsedSeconds * this.#capacity) / hourSeconds)
    bucket.atMs = nowMs
    return bucket
  }
}

const hourSeconds = 3600
