import { assert, describe, it } from "@effect/vitest"
import { quantile, quantileOfSorted } from "../../src/training/Quantile.js"
import { SeededRandom } from "../support/random.js"

const shares = [0, 0.001, 0.25, 0.5, 0.99, 0.999, 1]
const count = 20_001
const of = (value: (i: number) => number, length = count) => Float64Array.from({ length }, (_, i) => value(i))

describe("quantile", () => {
  const random = new SeededRandom(1, 1)
  it.each([
    ["noise", of(() => random.normal())],
    ["few values", of(() => Math.round(random.normal()))],
    ["one value", of(() => 7)],
    ["sorted", of((i) => i)],
    ["falling", of((i) => -i)],
    ["a valley", of((i) => (i - count / 2) ** 2)],
    ["a hill", of((i) => -((i - count / 2) ** 2))],
    ["infinities and no numbers", of((i) => [1 / 0, -1 / 0, Number.NaN, i][i % 4]!)],
    ["no numbers", of(() => Number.NaN, 3)],
    ["one", of(() => 5, 1)],
    ["none", of(() => 0, 0)]
  ])("is what a sort puts there: %s", (_, values) => {
    const before = values.slice()
    const sorted = values.slice().sort()
    for (const share of shares) assert.deepStrictEqual(quantile(values, share), quantileOfSorted(sorted, share) + 0)
    assert.deepStrictEqual(values, before)
  })
})
