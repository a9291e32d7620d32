/**
 * Fits the baseline detector: `StandardScaler | SparseRandomProjector | HalfSpaceTrees` on whitened features.
 *
 * Half-space trees look at one feature at a time and cannot see a broken relation between two of them. Whitening turns
 * relations into directions: the scaled features are projected onto the principal axes of their covariance, each
 * divided by its standard deviation, so that a direction in which healthy heat pumps hardly ever move weighs as much as
 * one in which they always do.
 *
 *     z = (x − mean) / sd        per feature, over all rows; a missing feature is 0, its mean
 *     C = cov(z)                 within homes: around each home's own mean, so that homes may differ
 *     C = V Λ Vᵀ                 component i = vᵢᵀ z / √max(λᵢ, floor)
 *
 * The masses are those of all rows, not of the last window as River would leave them, stored as shares of one large
 * window: the live data of a home replaces them only after that many records (a week at 30 s).
 *
 * Cost: rows × features² for the covariance and the projection, rows × trees × height for the masses.
 *
 * Sources: A. Kessy, A. Lewin, K. Strimmer, "Optimal whitening and decorrelation", The American Statistician 72(4),
 * 2018 (PCA whitening); half-space trees as in `HalfSpaceTrees`.
 */
import { EigenvalueDecomposition, Matrix } from "ml-matrix"
import { named, type RiverPipeline } from "../artifact/RiverPipeline.js"
import { HalfSpaceTrees } from "./HalfSpaceTrees.js"

/** Rows of one mode, row-major; NaN where a row lacks the feature. */
export interface Sample {
  readonly features: ReadonlyArray<string>
  readonly rows: number
  readonly values: Float64Array
  /** The home of each row, numbered from 0. */
  readonly homes: Int32Array
}

interface WhitenedTreesOptions {
  /** Splits are drawn within ±limit standard deviations of a component: the larger, the lower the scores. */
  readonly limit: number
  readonly nTrees: number
  readonly height: number
  /** Records after which live data replaces the masses. */
  readonly windowSize: number
  /** What the scaler's statistics count as: live data moves them by 1 / count per record. */
  readonly scalerCount: number
  readonly seed: number
}

/**
 * Four modes of 100 trees of height 7 are a file of 2.1 MB that Python loads in under a second. Height 10 ranks a
 * little better (ROC-AUC + .01 in a simulated fleet) and is 17 MB, which takes 5 s with pickle and 10 s with joblib;
 * fewer trees lose more than lower ones.
 */
export const defaultWhitenedTreesOptions: WhitenedTreesOptions = {
  limit: 12,
  nTrees: 100,
  height: 7,
  windowSize: 20_000,
  scalerCount: 1440,
  seed: 42
}

/** Smallest variance of a component, in units of a scaled feature's: below it there is only rounding of sensors. */
const varianceFloor = 1e-3

interface Moments {
  readonly means: Float64Array
  readonly variances: Float64Array
}

/** Mean and population variance of each feature, in two passes over the rows that have it. */
export const momentsOf = ({ features, rows, values }: Sample): Moments => {
  const d = features.length
  const counts = new Float64Array(d)
  const means = new Float64Array(d)
  const variances = new Float64Array(d)
  for (let k = 0; k < rows * d; k++) {
    const value = values[k]!
    if (Number.isNaN(value)) continue
    counts[k % d]!++
    means[k % d]! += value
  }
  for (let j = 0; j < d; j++) if (counts[j]! > 0) means[j]! /= counts[j]!
  for (let k = 0; k < rows * d; k++) {
    const deviation = values[k]! - means[k % d]!
    if (!Number.isNaN(deviation)) variances[k % d]! += deviation * deviation
  }
  for (let j = 0; j < d; j++) if (counts[j]! > 0) variances[j]! /= counts[j]!
  return { means, variances }
}

const scaled = ({ rows, values }: Sample, { means, variances }: Moments): Float64Array => {
  const d = means.length
  const factors = variances.map((variance) => (variance === 0 ? 0 : 1 / Math.sqrt(variance)))
  const z = new Float64Array(rows * d)
  for (let k = 0; k < z.length; k++) {
    const value = values[k]!
    if (!Number.isNaN(value)) z[k] = (value - means[k % d]!) * factors[k % d]!
  }
  return z
}

/** Covariance around each home's own mean. */
const covarianceWithinHomes = (z: Float64Array, d: number, homes: Int32Array): Matrix => {
  const nHomes = homes.reduce((most, home) => Math.max(most, home + 1), 0)
  const counts = new Float64Array(nHomes)
  const means = new Float64Array(nHomes * d)
  for (let row = 0; row < homes.length; row++) {
    counts[homes[row]!]!++
    for (let j = 0; j < d; j++) means[homes[row]! * d + j]! += z[row * d + j]!
  }
  for (let k = 0; k < means.length; k++) means[k]! /= Math.max(1, counts[Math.floor(k / d)]!)
  const sums = new Float64Array(d * d)
  const deviation = new Float64Array(d)
  for (let row = 0; row < homes.length; row++) {
    for (let j = 0; j < d; j++) deviation[j] = z[row * d + j]! - means[homes[row]! * d + j]!
    for (let i = 0; i < d; i++) {
      const factor = deviation[i]!
      for (let j = 0; j <= i; j++) sums[i * d + j]! += factor * deviation[j]!
    }
  }
  const covariance = new Matrix(d, d)
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      covariance.set(i, j, sums[i * d + j]! / homes.length)
      covariance.set(j, i, sums[i * d + j]! / homes.length)
    }
  }
  return covariance
}

/** Row i holds the weights of component i; the sign is fixed by its largest weight. */
const whiteningOf = (covariance: Matrix): ReadonlyArray<ReadonlyArray<number>> => {
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(covariance, { assumeSymmetric: true })
  return realEigenvalues.map((variance, i) => {
    const axis = eigenvectorMatrix.getColumn(i)
    const largest = axis.reduce((most, weight) => (Math.abs(weight) > Math.abs(most) ? weight : most), 0)
    const factor = Math.sign(largest) / Math.sqrt(Math.max(variance, varianceFloor))
    return axis.map((weight) => weight * factor)
  })
}

/** The counts of a window of all rows, brought to the size of a window. */
const asWindow = (mass: number, rows: number, windowSize: number) => Math.round((mass / rows) * windowSize)

/** A pipeline whose scores begin at once, of a sample of at least one row. */
export const fitWhitenedTrees = (
  sample: Sample,
  options: WhitenedTreesOptions = defaultWhitenedTreesOptions
): RiverPipeline => {
  const { features, rows, homes } = sample
  const { limit, nTrees, height, windowSize, scalerCount, seed } = options
  const d = features.length
  const moments = momentsOf(sample)
  const z = scaled(sample, moments)
  const whitening = whiteningOf(covarianceWithinHomes(z, d, homes))
  const components = whitening.map((_, i) => i)
  const trees = HalfSpaceTrees.grow(
    {
      nTrees,
      height,
      // One window of every row: its end turns what was learned into what scores.
      windowSize: rows,
      limits: components.map((feature) => ({ feature, low: -limit, high: limit })),
      seed
    },
    components
  )
  const component = new Float64Array(d)
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < d; i++) {
      const weights = whitening[i]!
      let sum = 0
      for (let j = 0; j < d; j++) sum += weights[j]! * z[row * d + j]!
      component[i] = sum
    }
    trees.learnOne(component)
  }
  const grown = trees.toStep()
  return {
    steps: named([
      {
        kind: "StandardScaler",
        withStd: true,
        features: features.map((feature, j) => ({
          feature,
          count: scalerCount,
          mean: moments.means[j]!,
          variance: moments.variances[j]!
        }))
      },
      {
        kind: "SparseRandomProjector",
        nComponents: d,
        seed,
        // A feature that never varied has no scale: the first live change of it would outweigh everything.
        weights: features.flatMap((feature, j) =>
          moments.variances[j] === 0
            ? []
            : [{ feature, components: components.map((i) => [i, whitening[i]![j]!] as const) }]
        )
      }
    ]),
    detector: {
      ...grown,
      windowSize,
      trees: grown.trees.map((tree) => ({
        ...tree,
        rMass: tree.rMass.map((mass) => asWindow(mass, rows, windowSize))
      }))
    }
  }
}
