import { assert, describe, it } from "@effect/vitest"
import { compile } from "../../src/training/Detector.js"
import { defaultWhitenedTreesOptions, fitWhitenedTrees, type Sample } from "../../src/training/Whitening.js"
import { sampleOf } from "../support/pipelines.js"

const sample = sampleOf(3000, 5)
const d = sample.features.length
const fitted = fitWhitenedTrees(sample)

/** What the pipeline's scaler and projector make of each row. */
const components = (): ReadonlyArray<Float64Array> => {
  const [scaler, projector] = fitted.steps
  if (scaler?.kind !== "StandardScaler" || projector?.kind !== "SparseRandomProjector") throw new Error("other steps")
  return Array.from({ length: sample.rows }, (_, row) => {
    const out = new Float64Array(d)
    projector.weights.forEach(({ components: weights }, j) => {
      const { mean, variance } = scaler.features[j]!
      const value = sample.values[row * d + j]!
      if (Number.isNaN(value)) return
      for (const [i, weight] of weights) out[i]! += (weight * (value - mean)) / Math.sqrt(variance)
    })
    return out
  })
}

describe("fitWhitenedTrees", () => {
  it("components are uncorrelated within homes and have variance 1, or less in directions that are only noise", () => {
    const rows = components()
    const means = Array.from({ length: 4 }, (_, home) => {
      const own = rows.filter((_, row) => sample.homes[row] === home)
      return Array.from({ length: d }, (_, i) => own.reduce((sum, x) => sum + x[i]!, 0) / own.length)
    })
    for (let i = 0; i < d; i++) {
      for (let j = 0; j <= i; j++) {
        const product = (x: Float64Array, row: number) =>
          (x[i]! - means[sample.homes[row]!]![i]!) * (x[j]! - means[sample.homes[row]!]![j]!)
        const covariance = rows.reduce((sum, x, row) => sum + product(x, row), 0) / rows.length
        if (i !== j) assert.closeTo(covariance, 0, 1e-9)
        else assert.isTrue(covariance < 1 + 1e-9 && covariance > 0.1, `component ${i} has variance ${covariance}`)
      }
    }
  })

  it("masses are the shares of all rows of a window, and scoring begins at once", () => {
    const { detector } = fitted
    assert.isFalse(detector.firstWindow)
    for (const { rMass, lMass } of detector.trees) {
      assert.strictEqual(rMass[0], detector.windowSize)
      assert.isTrue(lMass.every((mass) => mass === 0))
      assert.isTrue(detector.windowSize - (rMass[1]! + rMass[2]!) <= 1)
    }
  })

  it("a broken relation between readings that are each usual scores higher than healthy readings", () => {
    const detector = compile(fitted, sample.features)
    const fresh = sampleOf(600, 6)
    const score = (change: (x: Float64Array) => void) =>
      Array.from({ length: fresh.rows }, (_, row) => {
        const x = fresh.values.slice(row * d, (row + 1) * d)
        change(x)
        return detector.scoreOne(x)
      }).sort((a, b) => a - b)
    const healthy = score(() => {})
    const returnOffset = score((x) => {
      x[2]! += 3
    })
    assert.isAbove(returnOffset[60]!, healthy[540]!)
  })

  it("the same sample gives the same model, another seed another", () => {
    const again = fitWhitenedTrees(sample)
    const other = fitWhitenedTrees(sample, { ...defaultWhitenedTreesOptions, seed: 43 })
    assert.strictEqual(JSON.stringify(again), JSON.stringify(fitted))
    assert.notStrictEqual(JSON.stringify(other.detector.trees), JSON.stringify(fitted.detector.trees))
  })

  it("features that are constant or missing in the sample have no say, even when they change later", () => {
    const values = sample.values.map((value, k) => (k % d === 0 ? 7 : k % d === 1 ? Number.NaN : value))
    const degenerate: Sample = { ...sample, values }
    const detector = compile(fitWhitenedTrees(degenerate), sample.features)
    const usual = values.slice(2 * d, 3 * d)
    const changed = Float64Array.from(usual)
    changed[0] = 30
    changed[1] = 50
    detector.learnOne(changed)
    assert.isAbove(detector.scoreOne(usual), 0)
    assert.strictEqual(detector.scoreOne(changed), detector.scoreOne(usual))
  })
})
