/**
 * River 0.23.0 `preprocessing.StandardScaler` on dense vectors: running mean and population variance per feature.
 * NaN marks a feature that the record does not have.
 *
 * Source: `river/preprocessing/scale.py` (Welford's method). River takes the root as `var ** 0.5`, which on some C
 * libraries differs from `Math.sqrt` in the last bit for about one value in a thousand.
 */
import type { FeatureKey } from "../artifact/FeatureKey.js"
import type { StandardScalerStep } from "../artifact/RiverPipeline.js"

export class StandardScaler {
  readonly features: ReadonlyArray<FeatureKey>
  readonly withStd: boolean
  readonly counts: Float64Array
  readonly means: Float64Array
  readonly variances: Float64Array

  /** Features that `step` does not list begin unseen. */
  constructor(features: ReadonlyArray<FeatureKey>, step: StandardScalerStep = unfitted) {
    const known = new Map(step.features.map((entry) => [entry.feature, entry]))
    this.features = features
    this.withStd = step.withStd
    this.counts = Float64Array.from(features, (feature) => known.get(feature)?.count ?? 0)
    this.means = Float64Array.from(features, (feature) => known.get(feature)?.mean ?? 0)
    this.variances = Float64Array.from(features, (feature) => known.get(feature)?.variance ?? 0)
  }

  learnOne(x: Float64Array): void {
    for (let i = 0; i < x.length; i++) {
      const value = x[i]!
      if (Number.isNaN(value)) continue
      const count = ++this.counts[i]!
      const oldMean = this.means[i]!
      const mean = oldMean + (value - oldMean) / count
      this.means[i] = mean
      if (this.withStd) {
        this.variances[i]! += ((value - oldMean) * (value - mean) - this.variances[i]!) / count
      }
    }
  }

  /** An unseen or constant feature becomes 0. */
  transformOne(x: Float64Array, out: Float64Array): void {
    for (let i = 0; i < x.length; i++) {
      const centred = x[i]! - this.means[i]!
      if (!this.withStd || Number.isNaN(centred)) out[i] = centred
      else {
        const deviation = Math.sqrt(this.variances[i]!)
        out[i] = deviation === 0 ? 0 : centred / deviation
      }
    }
  }

  /** The features seen so far. */
  toStep(): StandardScalerStep {
    return {
      kind: "StandardScaler",
      withStd: this.withStd,
      features: this.features
        .map((feature, i) => ({
          feature,
          count: this.counts[i]!,
          mean: this.means[i]!,
          variance: this.variances[i]!
        }))
        .filter(({ count }) => count > 0)
    }
  }
}

const unfitted: StandardScalerStep = { kind: "StandardScaler", withStd: true, features: [] }
