/** Exact intervals beside SciPy 1.17.1: `chi2.ppf(q, 2k) / 2`, `chi2.ppf(q, 2k + 2) / 2`, `beta.ppf`, q of 0.05 and 0.95. */
import { assert, describe, it } from "@effect/vitest"
import { binomialInterval, poissonInterval } from "../../src/training/ExactIntervals.js"

const closeTo = (actual: number, expected: number) => assert.closeTo(actual, expected, 1e-9 * Math.max(1, expected))

describe("ExactIntervals", () => {
  it.each([
    [0, 0, 2.9957322735539895],
    [1, 0.05129329438755053, 4.743864518390577],
    [2, 0.35536151069866195, 6.295793621871988],
    [5, 1.9701495680605, 10.513034908741535],
    [30, 21.593979226994882, 40.69050759444955],
    [2_000, 1927.0127960084556, 2075.142591043989]
  ])("of %d events by Garwood", (events, low, high) => {
    const interval = poissonInterval(events)
    closeTo(interval.low, low)
    closeTo(interval.high, high)
  })

  it.each([
    [0, 9, 0, 0.28312883556311347],
    [9, 9, 0.7168711644368865, 1],
    [1, 3, 0.0169524275084415, 0.8646496378284161],
    [11, 66, 0.09637228668116099, 0.2607613153376402],
    [633, 680, 0.9127067091566299, 0.9461992405138973],
    [2, 24_000, 1.4806928472351103e-5, 0.00026230125829631754]
  ])("of %d in %d by Clopper and Pearson", (events, trials, low, high) => {
    const interval = binomialInterval(events, trials)
    closeTo(interval.low, low)
    closeTo(interval.high, high)
  })

  it("of no trial is none", () => {
    assert.deepStrictEqual(binomialInterval(0, 0), { low: Number.NaN, high: Number.NaN })
  })
})
