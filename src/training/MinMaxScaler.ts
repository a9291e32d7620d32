/**
 * River 0.23.0 `preprocessing.MinMaxScaler` on dense vectors. NaN marks a feature that the record does not have.
 *
 * River scales a feature that it has never learned to NaN, which half-space trees send to the right of every split.
 * Here that is +Infinity, which goes the same way and is not mistaken for a missing feature.
 *
 * Source: `river/preprocessing/scale.py`, `river/stats/minimum.py`, `river/stats/maximum.py`.
 */
import type { FeatureKey } from "../artifact/FeatureKey.js"
import type { MinMaxScalerStep } from "../artifact/RiverPipeline.js"

export class MinMaxScaler {
  readonly features: ReadonlyArray<FeatureKey>
  readonly min: Float64Array
  readonly max: Float64Array

  /** Features that `step` does not list begin unseen. */
  constructor(features: ReadonlyArray<FeatureKey>, step: MinMaxScalerStep = unfitted) {
    const known = new Map(step.features.map((entry) => [entry.feature, entry]))
    this.features = features
    this.min = Float64Array.from(features, (feature) => known.get(feature)?.min ?? Number.POSITIVE_INFINITY)
    this.max = Float64Array.from(features, (feature) => known.get(feature)?.max ?? Number.NEGATIVE_INFINITY)
  }

  learnOne(x: Float64Array): void {
    for (let i = 0; i < x.length; i++) {
      const value = x[i]!
      if (value < this.min[i]!) this.min[i] = value
      if (value > this.max[i]!) this.max[i] = value
    }
  }

  /** New extremes lie outside [0, 1]: nothing is clipped. */
  transformOne(x: Float64Array, out: Float64Array): void {
    for (let i = 0; i < x.length; i++) {
      const value = x[i]!
      const range = this.max[i]! - this.min[i]!
      if (Number.isNaN(value)) out[i] = value
      else if (range === Number.NEGATIVE_INFINITY) out[i] = Number.POSITIVE_INFINITY
      else out[i] = range === 0 ? 0 : (value - this.min[i]!) / range
    }
  }

  /** The features seen so far. */
  toStep(): MinMaxScalerStep {
    return {
      kind: "MinMaxScaler",
      features: this.features
        .map((feature, i) => ({ feature, min: this.min[i]!, max: this.max[i]! }))
        .filter(({ min, max }) => min <= max)
    }
  }
}

const unfitted: MinMaxScalerStep = { kind: "MinMaxScaler", features: [] }
