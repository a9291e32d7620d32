/** Order statistics of large samples. */

const rankOf = (count: number, share: number): number => Math.min(count - 1, Math.floor(share * count))

/** The value below which `share` of the sorted values lie (nearest rank); NaN when there are none. */
export const quantileOfSorted = (sorted: Float64Array, share: number): number =>
  sorted.length === 0 ? Number.NaN : sorted[rankOf(sorted.length, share)]!

/**
 * What a sort would put at `rank`, by Hoare's selection: in linear time. Pivots are drawn, so that no shape of data, nor
 * one that is sorted already, makes it quadratic. Pre-condition: no NaN. Reorders `values`.
 */
const select = (values: Float64Array, rank: number): number => {
  let draw = 1
  let left = 0
  let right = values.length - 1
  while (left < right) {
    // Numerical Recipes' linear congruential generator; its high bits are the random ones.
    draw = (Math.imul(draw, 1_664_525) + 1_013_904_223) >>> 0
    const pivot = values[left + Math.floor((draw / 2 ** 32) * (right - left + 1))]!
    let i = left
    let j = right
    while (i <= j) {
      while (values[i]! < pivot) i++
      while (values[j]! > pivot) j--
      if (i > j) break
      const value = values[i]!
      values[i++] = values[j]!
      values[j--] = value
    }
    if (rank <= j) right = j
    else if (rank >= i) left = i
    else break
  }
  return values[rank]!
}

/** The same of values in any order. NaN counts as greater than everything else, -0 as 0. */
export const quantile = (values: Float64Array, share: number): number => {
  if (values.length === 0) return Number.NaN
  const rank = rankOf(values.length, share)
  const numbers = values.filter((value) => !Number.isNaN(value))
  return rank < numbers.length ? select(numbers, rank) + 0 : Number.NaN
}

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
