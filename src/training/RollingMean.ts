/**
 * River 0.23.0 `utils.Rolling(stats.Mean(), windowSize)`: the oldest value is taken out of the running mean before the
 * newest is taken in, with River's roundings.
 *
 * Source: `river/utils/rolling.py`, `river/stats/mean.py`.
 */
import type { RollingMeanStep } from "../artifact/RiverPipeline.js"

export class RollingMean {
  readonly #window: Float64Array
  #count = 0
  /** Where the oldest value lies once the window is full, and the next one goes. */
  #next = 0
  #mean = 0

  constructor({ windowSize, seen }: Pick<RollingMeanStep, "windowSize" | "seen">) {
    this.#window = new Float64Array(windowSize)
    if (seen === undefined) return
    this.#window.set(seen.window)
    this.#count = seen.window.length
    this.#next = this.#count % windowSize
    this.#mean = seen.mean
  }

  update(value: number): void {
    if (this.#count === this.#window.length) {
      this.#count--
      const oldest = this.#window[this.#next]!
      this.#mean = this.#count === 0 ? 0 : this.#mean - (1 / this.#count) * (oldest - this.#mean)
    }
    this.#count++
    this.#mean += (1 / this.#count) * (value - this.#mean)
    this.#window[this.#next] = value
    this.#next = (this.#next + 1) % this.#window.length
  }

  /** 0 before the first value. */
  get(): number {
    return this.#mean
  }
}
