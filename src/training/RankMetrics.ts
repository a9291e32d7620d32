/**
 * How well scores tell faults from normal operation, whatever their scale: from histograms per home, so that resampling
 * homes costs a sum of histograms and not a sort.
 *
 * Scores are cut at up to 1,024 quantiles of a sample that is half clean and half faulty. Scores in one bin count as
 * ties; the error of an AUC is below 0.001.
 */
import type { Interval } from "./ExactIntervals.js"
import { MersenneTwister } from "./MersenneTwister.js"
import { quantileOfSorted } from "./Quantile.js"

const mostBins = 1024
const sampled = 20_000

/** Ascending edges; bin b holds scores from edge b - 1 to below edge b. */
export const quantileEdges = (clean: Float64Array, faulty: Float64Array): Float64Array => {
  const pick = (scores: Float64Array) => {
    const step = Math.max(1, scores.length / sampled)
    return Float64Array.from(
      { length: Math.min(scores.length, sampled) },
      (_, i) => scores[Math.floor(i * step)]!
    ).sort()
  }
  const edges = new Set<number>()
  for (const sorted of [pick(clean), pick(faulty)]) {
    for (let i = 0; i < mostBins / 2; i++) {
      const at = sorted[Math.floor((i / (mostBins / 2)) * sorted.length)]
      if (at !== undefined) edges.add(at)
    }
  }
  return Float64Array.from(edges).sort()
}

export const histogram = (scores: Float64Array, edges: Float64Array): Float64Array => {
  const counts = new Float64Array(edges.length + 1)
  for (const score of scores) {
    let low = 0
    let high = edges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (edges[middle]! <= score) low = middle + 1
      else high = middle
    }
    counts[low]!++
  }
  return counts
}

/** Bin by bin; `bins` are as many as each has. */
export const sumOf = (histograms: ReadonlyArray<Float64Array>, bins: number): Float64Array => {
  const sum = new Float64Array(bins)
  for (const counts of histograms) for (let b = 0; b < bins; b++) sum[b]! += counts[b]!
  return sum
}

const totalOf = (counts: Float64Array): number => counts.reduce((sum, count) => sum + count, 0)

/** The chance that a faulty record scores higher than a clean one, ties counting half; NaN without either. */
export const rocAuc = (clean: Float64Array, faulty: Float64Array): number => {
  let below = 0
  let sum = 0
  for (let b = 0; b < clean.length; b++) {
    sum += faulty[b]! * (below + clean[b]! / 2)
    below += clean[b]!
  }
  return sum / (below * totalOf(faulty))
}

/** Mean precision over the recalls, from the highest score down; NaN without faulty records. */
export const averagePrecision = (clean: Float64Array, faulty: Float64Array): number => {
  const positives = totalOf(faulty)
  let truePositives = 0
  let falsePositives = 0
  let sum = 0
  for (let b = clean.length - 1; b >= 0; b--) {
    truePositives += faulty[b]!
    falsePositives += clean[b]!
    if (faulty[b]! > 0) sum += (faulty[b]! / positives) * (truePositives / (truePositives + falsePositives))
  }
  return positives === 0 ? Number.NaN : sum
}

/** False and true positive rates from (0, 0) to (1, 1). */
export const rocCurve = (
  clean: Float64Array,
  faulty: Float64Array
): ReadonlyArray<{ readonly falsePositiveRate: number; readonly truePositiveRate: number }> => {
  const negatives = totalOf(clean)
  const positives = totalOf(faulty)
  let falsePositives = 0
  let truePositives = 0
  const points = [{ falsePositiveRate: 0, truePositiveRate: 0 }]
  for (let b = clean.length - 1; b >= 0; b--) {
    falsePositives += clean[b]!
    truePositives += faulty[b]!
    points.push({ falsePositiveRate: falsePositives / negatives, truePositiveRate: truePositives / positives })
  }
  return points
}

/** A figure with its 90 % interval; `low` and `high` are NaN where there is none. */
export interface Estimate {
  readonly value: number
  readonly low: number
  readonly high: number
}

const replicates = 400

/** All homes first, then as many of them with replacement, again and again; of one home nothing can be drawn. */
export type Draws = ReadonlyArray<ReadonlyArray<number>>

export const drawHomes = (homes: number, seed: number): Draws => {
  const everybody = Array.from({ length: homes }, (_, i) => i)
  if (homes < 2) return [everybody]
  const random = new MersenneTwister(seed)
  const draw = () => everybody.map(() => Math.floor(random.random() * homes))
  return [everybody, ...Array.from({ length: replicates }, draw)]
}

/** Each figure of all homes, and the 5 % and 95 % quantiles of it over the draws that have it. */
export const bootstrap = (
  draws: Draws,
  figures: (drawn: ReadonlyArray<number>) => ReadonlyArray<number>
): ReadonlyArray<Estimate> => {
  const [values, ...drawn] = draws.map(figures)
  return values!.map((value, f) => {
    const sorted = Float64Array.from(drawn.map((each) => each[f]!).filter((each) => !Number.isNaN(each))).sort()
    return { value, low: quantileOfSorted(sorted, 0.05), high: quantileOfSorted(sorted, 0.95) }
  })
}

/** At least as wide as an interval from elsewhere; that one where there is no other. */
export const widenedTo = ({ value, low, high }: Estimate, least: Interval): Estimate => ({
  value,
  low: Number.isNaN(low) ? least.low : Math.min(low, least.low),
  high: Number.isNaN(high) ? least.high : Math.max(high, least.high)
})
