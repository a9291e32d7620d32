/** Quantiles and rank statistics against their definitions: every pair, every value. */
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { MagnitudeHistogram, quantile, quantileOfSorted } from "../../src/training/Quantile.js"
import {
  averagePrecision,
  bootstrap,
  drawHomes,
  histogram,
  quantileEdges,
  rocAuc,
  rocCurve,
  sumOf,
  widenedTo
} from "../../src/training/RankMetrics.js"

const score = fc.integer({ min: 0, max: 40 }).map((n) => n / 40)
const scores = fc.array(score, { minLength: 1, maxLength: 60 }).map((values) => Float64Array.from(values))
const many = (length: number, f: (i: number) => number) => Float64Array.from({ length }, (_, i) => f(i))

describe("quantile", () => {
  it("is the value of nearest rank, of any order, and leaves the values as they are", () => {
    const values = Float64Array.of(5, 1, 4, 2, 3)
    assert.deepStrictEqual(
      [0, 0.19, 0.2, 0.5, 0.8, 0.99, 1].map((share) => quantile(values, share)),
      [1, 1, 2, 3, 5, 5, 5]
    )
    assert.deepStrictEqual([...values], [5, 1, 4, 2, 3])
    assert.isNaN(quantileOfSorted(new Float64Array(0), 0.5))
  })

  it("of magnitudes is within 0.5 % from 1e-6 to 1e6, and at the ends beyond", () => {
    const histogram = new MagnitudeHistogram()
    assert.strictEqual(histogram.meanSquare(1), 0)
    const magnitudes = many(2_000, (i) => 10 ** (-5.9 + ((i * 7919) % 2_000) * (11.8 / 2_000)))
    for (const magnitude of magnitudes) histogram.add(magnitude)
    for (const share of [0, 0.01, 0.3, 0.5, 0.9, 0.9995]) {
      assert.approximately(histogram.quantile(share) / quantile(magnitudes, share), 1, 0.005)
    }
    for (const limit of [1e-3, 2, 1e6]) {
      const exact = magnitudes.reduce((sum, x) => sum + Math.min(x, limit) ** 2, 0) / magnitudes.length
      assert.approximately(histogram.meanSquare(limit) / exact, 1, 0.01)
    }
    const [smallest, largest] = [new MagnitudeHistogram(), new MagnitudeHistogram()]
    for (const magnitude of [0, 1e-9]) smallest.add(magnitude)
    for (const magnitude of [1e9, Number.POSITIVE_INFINITY]) largest.add(magnitude)
    assert.approximately(smallest.quantile(0.5), 1e-6, 1e-8)
    assert.approximately(smallest.quantile(1) / 1e6, 1, 0.005)
    assert.approximately(largest.quantile(0) / 1e6, 1, 0.005)
  })

  it("of magnitudes does not count what is no number, and is none of nothing", () => {
    const [some, numbers] = [new MagnitudeHistogram(), new MagnitudeHistogram()]
    assert.isNaN(numbers.quantile(0.5))
    for (const magnitude of [1, Number.NaN, 2, Number.NaN, 3]) some.add(magnitude)
    for (const magnitude of [1, 2, 3]) numbers.add(magnitude)
    assert.strictEqual(some.quantile(0.5), numbers.quantile(0.5))
    assert.strictEqual(some.meanSquare(10), numbers.meanSquare(10))
  })
})

describe("rank metrics", () => {
  it("are those of every pair of a clean and a faulty score", () => {
    fc.assert(
      fc.property(scores, scores, (clean, faulty) => {
        const edges = Float64Array.from(new Set([...clean, ...faulty])).sort()
        const [cleanCounts, faultyCounts] = [histogram(clean, edges), histogram(faulty, edges)]
        let wins = 0
        for (const f of faulty) for (const c of clean) wins += f > c ? 1 : f === c ? 0.5 : 0
        assert.closeTo(rocAuc(cleanCounts, faultyCounts), wins / (clean.length * faulty.length), 1e-12)
        // Precision at each recall, a threshold at every score.
        const precisions = Array.from(faulty, (threshold) => {
          const alarms = [clean, faulty].map((side) => side.filter((s) => s >= threshold).length)
          return alarms[1]! / (alarms[0]! + alarms[1]!)
        })
        const mean = precisions.reduce((sum, p) => sum + p, 0) / faulty.length
        assert.closeTo(averagePrecision(cleanCounts, faultyCounts), mean, 1e-12)
        const rates = (threshold: number) => ({
          falsePositiveRate: clean.filter((s) => s >= threshold).length / clean.length,
          truePositiveRate: faulty.filter((s) => s >= threshold).length / faulty.length
        })
        // The bin below the lowest edge is empty.
        assert.deepStrictEqual(rocCurve(cleanCounts, faultyCounts), [
          rates(Number.POSITIVE_INFINITY),
          ...[...edges].reverse().map(rates),
          { falsePositiveRate: 1, truePositiveRate: 1 }
        ])
      })
    )
  })

  it("are NaN where there is nothing to rank", () => {
    const [none, some] = [new Float64Array(3), Float64Array.of(1, 0, 2)]
    assert.isNaN(rocAuc(some, none))
    assert.isNaN(rocAuc(none, some))
    assert.isNaN(averagePrecision(some, none))
    assert.strictEqual(averagePrecision(none, some), 1)
    // Bins above every score are empty of both.
    assert.strictEqual(averagePrecision(Float64Array.of(3, 0, 0), Float64Array.of(0, 2, 0)), 1)
  })

  it("count each score in the bin from its edge on", () => {
    fc.assert(
      fc.property(scores, scores, (values, cuts) => {
        const edges = Float64Array.from(new Set(cuts)).sort()
        const expected = new Float64Array(edges.length + 1)
        for (const value of values) expected[edges.filter((edge) => edge <= value).length]!++
        const counts = histogram(values, edges)
        assert.deepStrictEqual(counts, expected)
        assert.deepStrictEqual(
          sumOf([expected, counts], counts.length),
          counts.map((count) => 2 * count)
        )
      })
    )
  })

  it("cut at the scores themselves when they are few, and at quantiles of both kinds when they are many", () => {
    const few = [Float64Array.of(0.3, 0.1, 0.3), Float64Array.of(0.2, 0.1)] as const
    assert.deepStrictEqual([...quantileEdges(...few)], [0.1, 0.2, 0.3])
    assert.deepStrictEqual([...quantileEdges(new Float64Array(0), few[1])], [0.1, 0.2])
    // In no order.
    const clean = many(60_000, (i) => ((i * 7_919) % 60_000) / 60_000)
    const faulty = many(1_500, (i) => 2 + ((i * 7) % 1_500) / 1_500)
    const edges = quantileEdges(clean, faulty)
    assert.strictEqual(edges.length, 1_024)
    for (const [k, edge] of edges.entries()) assert.approximately(edge, k < 512 ? k / 512 : 2 + (k - 512) / 512, 0.002)
  })
})

describe("bootstrap", () => {
  const bootstrapped = (homes: number, seed: number, figure: (drawn: ReadonlyArray<number>) => number) =>
    bootstrap(drawHomes(homes, seed), (drawn) => [figure(drawn)])[0]!

  it("has the interval in which 90 % of the resampled means lie, the same for the same seed", () => {
    const values = many(40, (i) => i)
    const mean = (drawn: ReadonlyArray<number>) => drawn.reduce((sum, i) => sum + values[i]!, 0) / drawn.length
    const { high, low, value } = bootstrapped(40, 1, mean)
    assert.strictEqual(value, 19.5)
    // A mean's standard error is 11.54 / √40 = 1.83; 400 replicates find its 5 % quantile within about 0.4.
    assert.approximately(low, 19.5 - 1.645 * 1.83, 0.5)
    assert.approximately(high, 19.5 + 1.645 * 1.83, 0.5)
    assert.deepStrictEqual(bootstrapped(40, 1, mean), { value, low, high })
    assert.notDeepEqual(bootstrapped(40, 2, mean), { value, low, high })
  })

  it("has none of one home, nor of a figure that is never there", () => {
    assert.deepStrictEqual(
      bootstrapped(1, 1, () => 3),
      { value: 3, low: Number.NaN, high: Number.NaN }
    )
    const absent = bootstrapped(3, 1, () => Number.NaN)
    assert.deepStrictEqual(absent, { value: Number.NaN, low: Number.NaN, high: Number.NaN })
    assert.deepStrictEqual(
      bootstrapped(2, 1, ([first]) => (first === 0 ? 5 : Number.NaN)),
      { value: 5, low: 5, high: 5 }
    )
  })

  it("is widened to another interval on either side, and is that one where there is none", () => {
    const estimate = { value: 5, low: 4, high: 6 }
    assert.deepStrictEqual(widenedTo(estimate, { low: 3, high: 5.5 }), { value: 5, low: 3, high: 6 })
    assert.deepStrictEqual(widenedTo(estimate, { low: 4.5, high: 7 }), { value: 5, low: 4, high: 7 })
    const none = { value: 5, low: Number.NaN, high: Number.NaN }
    assert.deepStrictEqual(widenedTo(none, { low: 4.5, high: 7 }), { value: 5, low: 4.5, high: 7 })
  })
})
