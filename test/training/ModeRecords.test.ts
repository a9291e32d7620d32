import { assert, describe, it } from "@effect/vitest"
import { type ModeRecords, modeRecords, thinned } from "../../src/training/ModeRecords.js"

describe("modeRecords", () => {
  it("are the complete records of a mode whose values a heat pump can show", () => {
    const nan = Number.NaN
    const home = {
      installationId: "home",
      timestampsMs: Float64Array.of(0, 1, 2, 3, 4, 5, 6, 7),
      columns: new Map([
        ["status_heat_pump", Float64Array.of(1, 1, 4, nan, 9, 1, 1, 1)],
        ["temp_outside", Float64Array.of(-45, 2, 3, 4, 5, nan, 95, 95.1)],
        ["power_current", Float64Array.of(-0.5, 40.1, 1, 1, 1, 1, 40, 1)]
      ])
    }
    const sensors = ["temp_outside", "power_current"]
    const { spanDays, timestampsMs, values } = modeRecords(home, "heating", sensors, 3)
    assert.deepStrictEqual([spanDays, [...timestampsMs], [...values]], [3, [0, 6], [-45, -0.5, 95, 40]])
    assert.deepStrictEqual([...modeRecords(home, "heating", sensors, 3, false).timestampsMs], [0, 1, 6, 7])
    assert.deepStrictEqual([...modeRecords(home, "water", ["temp_outside"], 3).values], [3])
    assert.lengthOf(modeRecords(home, "heating", ["temp_outside", "absent"], 3).timestampsMs, 0)
  })
})

describe("thinned", () => {
  const of = (count: number): ModeRecords => ({
    installationId: "home",
    spanDays: 100,
    timestampsMs: Float64Array.from({ length: count }, (_, i) => i),
    values: Float64Array.from({ length: 2 * count }, (_, k) => k)
  })
  const block = 2_880

  it("keeps what is few enough as it is", () => {
    const records = of(block)
    assert.strictEqual(thinned(records, block), records)
  })

  it.each([
    [10 * block, 3 * block, [0, 4.5, 9]],
    [4 * block, 2 * block + 5, [0, 3]],
    [2 * block, block, [0]],
    [2 * block, 100, [0]]
  ])("of %i records keeps at most %i, in whole blocks from the first to the last", (count, most, starts) => {
    const { spanDays, timestampsMs, values } = thinned(of(count), most)
    const size = Math.min(block, most)
    const expected = starts.flatMap((start) => Array.from({ length: size }, (_, i) => start * block + i))
    assert.deepStrictEqual([...timestampsMs], expected)
    assert.deepStrictEqual(
      [...values],
      expected.flatMap((i) => [2 * i, 2 * i + 1])
    )
    assert.closeTo(spanDays, (100 * expected.length) / count, 1e-9)
  })
})
