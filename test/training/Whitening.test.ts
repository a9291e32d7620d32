import { assert, describe, it } from "@effect/vitest"
import { compile } from "../../src/training/Detector.js"
import { defaultWhitenedTreesOptions, fitWhitenedTrees, type Sample } from "../../src/training/Whitening.js"
import { sampleOf } from "../support/pipelines.js"

const sample = sampleOf(800, 5)
const d = sample.features.length
const options = { ...defaultWhitenedTreesOptions, nTrees: 30 }
const fitted = fitWhitenedTrees(sample, options)

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

  it("the scaler has the sample's moments under a count that lets live data move them", () => {
    const [scaler] = fitted.steps
    if (scaler?.kind !== "StandardScaler") throw new Error("another step")
    assert.deepStrictEqual(
      scaler.features.map(({ count, feature }) => `${feature} ${count}`),
      sample.features.map((feature) => `${feature} 1440`)
    )
    scaler.features.forEach(({ mean, variance }, j) => {
      const column = Array.from(sample.values).filter((value, k) => k % d === j && !Number.isNaN(value))
      const average = column.reduce((sum, x) => sum + x, 0) / column.length
      assert.closeTo(mean, average, 1e-9)
      assert.closeTo(variance, column.reduce((sum, x) => sum + (x - average) ** 2, 0) / column.length, 1e-9)
    })
    assert.isTrue(scaler.withStd)
  })

  it("each component points where its largest weight is positive", () => {
    const [, projector] = fitted.steps
    if (projector?.kind !== "SparseRandomProjector") throw new Error("another step")
    for (let i = 0; i < d; i++) {
      const weights = projector.weights.map(({ components }) => components.find(([component]) => component === i)![1])
      assert.strictEqual(Math.max(...weights), Math.max(...weights.map(Math.abs)))
    }
  })

  it("masses are the shares of all rows of a window, and scoring begins at once", () => {
    const { detector } = fitted
    assert.isFalse(detector.firstWindow)
    assert.strictEqual(detector.windowSize, options.windowSize)
    assert.deepStrictEqual(
      detector.limits,
      sample.features.map((_, feature) => ({ feature, low: -12, high: 12 }))
    )
    const rows = components()
    for (const { lMass, rMass, split, threshold } of detector.trees) {
      const counts = new Array<number>(rMass.length).fill(0)
      for (const row of rows) {
        for (let node = 0; node < counts.length; node = 2 * node + (row[split[node]!]! >= threshold[node]! ? 2 : 1)) {
          counts[node]!++
        }
      }
      assert.deepStrictEqual(
        rMass,
        counts.map((count) => Math.round((count / sample.rows) * options.windowSize))
      )
      assert.isTrue(lMass.every((mass) => mass === 0))
    }
  })

  it("a broken relation between readings that are each usual scores higher than healthy readings", () => {
    const detector = compile(fitted, sample.features)
    const fresh = sampleOf(300, 6)
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
    assert.isAbove(returnOffset[30]!, healthy[270]!)
  })

  it("the same sample gives the same model, another seed another", () => {
    const again = fitWhitenedTrees(sample, options)
    const other = fitWhitenedTrees(sample, { ...options, seed: 43 })
    assert.strictEqual(JSON.stringify(again), JSON.stringify(fitted))
    assert.notStrictEqual(JSON.stringify(other.detector.trees), JSON.stringify(fitted.detector.trees))
  })

  it("homes may differ, and one that has no rows changes nothing", () => {
    const moved = { ...sample, homes: sample.homes.map((home) => home + Number(home > 1)) }
    assert.deepStrictEqual(fitWhitenedTrees(moved, options), fitted)
    // Each home's own level of one feature: within homes it is as before.
    const values = sample.values.map((value, k) => (k % d === 5 ? value + 2 * sample.homes[Math.floor(k / d)]! : value))
    const scale = (pipeline: typeof fitted, j: number) => {
      const [scaler, projector] = pipeline.steps
      if (scaler?.kind !== "StandardScaler" || projector?.kind !== "SparseRandomProjector")
        throw new Error("other steps")
      const weights = projector.weights[j]!.components.map(
        ([, weight]) => weight / Math.sqrt(scaler.features[j]!.variance)
      )
      return weights.reduce((sum, weight) => sum + weight ** 2, 0)
    }
    const shifted = fitWhitenedTrees({ ...sample, values }, options)
    // Σ over components of (weight / sd)² is a diagonal element of the inverse covariance within homes.
    assert.approximately(scale(shifted, 5) / scale(fitted, 5), 1, 0.25)
  })

  it("features that are constant or missing in the sample have no say, even when they change later", () => {
    const values = sample.values.map((value, k) => (k % d === 0 ? 7 : k % d === 1 ? Number.NaN : value))
    const degenerate: Sample = { ...sample, values }
    const detector = compile(fitWhitenedTrees(degenerate, options), sample.features)
    const usual = values.slice(2 * d, 3 * d)
    const changed = Float64Array.from(usual)
    changed[0] = 30
    changed[1] = 50
    detector.learnOne(changed)
    assert.isAbove(detector.scoreOne(usual), 0)
    assert.strictEqual(detector.scoreOne(changed), detector.scoreOne(usual))
  })
})
