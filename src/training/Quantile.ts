/** Order statistics of large samples. */

/** The value below which `share` of the sorted values lie (nearest rank); NaN when there are none. */
export const quantileOfSorted = (sorted: Float64Array, share: number): number =>
  sorted.length === 0 ? Number.NaN : sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!

/** Exact; sorts a copy, which puts NaN behind everything else. */
export const quantile = (values: Float64Array, share: number): number => quantileOfSorted(values.slice().sort(), share)

const binsPerDecade = 256
const decades = 12
const lowestExponent = -6

/** Magnitudes in logarithmic bins of 0.9 %: quantiles of millions of values in constant memory. */
export class MagnitudeHistogram {
  readonly #counts = new Float64Array(binsPerDecade * decades)
  #total = 0

  /** NaN is no magnitude, and is not counted. */
  add(magnitude: number): void {
    if (Number.isNaN(magnitude)) return
    const bin = Math.floor((Math.log10(magnitude) - lowestExponent) * binsPerDecade)
    this.#counts[Math.max(0, Math.min(this.#counts.length - 1, bin))]!++
    this.#total++
  }

  /** NaN when there is none. */
  quantile(share: number): number {
    if (this.#total === 0) return Number.NaN
    let left = share * this.#total
    for (let bin = 0; bin < this.#counts.length; bin++) {
      left -= this.#counts[bin]!
      if (left < 0) return this.#magnitude(bin)
    }
    return this.#magnitude(this.#counts.length - 1)
  }

  /** Mean of the squares, none counted for more than `limit` squared; 0 when there is none. */
  meanSquare(limit: number): number {
    let sum = 0
    for (let bin = 0; bin < this.#counts.length; bin++) {
      sum += this.#counts[bin]! * Math.min(limit, this.#magnitude(bin)) ** 2
    }
    return this.#total === 0 ? 0 : sum / this.#total
  }

  #magnitude(bin: number): number {
    return 10 ** (lowestExponent + (bin + 0.5) / binsPerDecade)
  }
}
