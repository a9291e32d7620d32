/**
 * What a home makes of the residuals: the running scaler and the rolling mean of the residual pipeline, replayed over a
 * home's records as the ml-service will, so that weights and threshold are calibrated on what it will really see.
 *
 * Each record is scored and learned as often as the service sees it (`ServiceLoop`). A score uses the state before the
 * record; learning updates River's StandardScaler first (n, mean, population variance), then scales with the new state,
 * and the window takes that, unless one of the values is beyond its `limit`.
 * G = [y, r]: y the residual scaled for this home, r its mean over the window; 2 d columns.
 *
 * Cost: about 20 d operations per sighting, no allocation.
 */

/** The scaler's state before it has seen a home. */
export interface HomePrior {
  /** Sightings that the prior counts for. */
  readonly count: number
  readonly mean: Float64Array
  readonly variance: Float64Array
}

export class HomeReplay {
  /** G of the last `look`. */
  readonly columns: Float64Array
  readonly #mean: Float64Array
  readonly #variance: Float64Array
  readonly #window: Float64Array
  readonly #sum: Float64Array
  readonly #scaled: Float64Array
  #count: number
  #next = 0
  #filled = 0

  /** `windowSightings`: of the rolling mean; `limit`: per residual, the largest that it takes. */
  constructor(
    prior: HomePrior,
    private readonly windowSightings: number,
    private readonly limit: Float64Array
  ) {
    const d = prior.mean.length
    this.#count = prior.count
    this.#mean = prior.mean.slice()
    this.#variance = prior.variance.slice()
    this.#window = new Float64Array(windowSightings * d)
    this.#sum = new Float64Array(d)
    this.#scaled = new Float64Array(d)
    this.columns = new Float64Array(2 * d)
  }

  /** Puts G of a record's residuals into `columns`. */
  look(residuals: Float64Array, offset: number): void {
    const d = this.#mean.length
    for (let j = 0; j < d; j++) {
      this.columns[j] = (residuals[offset + j]! - this.#mean[j]!) / Math.sqrt(this.#variance[j]!)
      this.columns[d + j] = this.#filled === 0 ? 0 : this.#sum[j]! / this.#filled
    }
  }

  learn(residuals: Float64Array, offset: number): void {
    const d = this.#mean.length
    const count = ++this.#count
    const slot = this.#next * d
    const scaled = this.#scaled
    let isWithinLimits = true
    for (let j = 0; j < d; j++) {
      const value = residuals[offset + j]!
      const old = this.#mean[j]!
      const mean = old + (value - old) / count
      this.#mean[j] = mean
      const variance = this.#variance[j]! + ((value - old) * (value - mean) - this.#variance[j]!) / count
      this.#variance[j] = variance
      scaled[j] = (value - mean) / Math.sqrt(variance)
      if (!(scaled[j]! >= -this.limit[j]! && scaled[j]! < this.limit[j]!)) isWithinLimits = false
    }
    if (!isWithinLimits) return
    const isFull = this.#filled === this.windowSightings
    for (let j = 0; j < d; j++) {
      this.#sum[j]! += scaled[j]! - (isFull ? this.#window[slot + j]! : 0)
      this.#window[slot + j] = scaled[j]!
    }
    if (!isFull) this.#filled++
    this.#next = (this.#next + 1) % this.windowSightings
  }
}
