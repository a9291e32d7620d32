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
    const { coveredDays, keptShare, timestampsMs, values } = modeRecords(home, "heating", sensors, 3)
    assert.deepStrictEqual([coveredDays, keptShare], [3, 1])
    assert.deepStrictEqual(
      [[...timestampsMs], [...values]],
      [
        [0, 6],
        [-45, -0.5, 95, 40]
      ]
    )
    assert.deepStrictEqual([...modeRecords(home, "heating", sensors, 3, false).timestampsMs], [0, 1, 6, 7])
    assert.deepStrictEqual([...modeRecords(home, "water", ["temp_outside"], 3).values], [3])
    assert.lengthOf(modeRecords(home, "heating", ["temp_outside", "absent"], 3).timestampsMs, 0)
  })
})

describe("thinned", () => {
  const of = (count: number): ModeRecords => ({
    installationId: "home",
    coveredDays: 100,
    keptShare: 1,
    timestampsMs: Float64Array.from({ length: count }, (_, i) => i),
    values: Float64Array.from({ length: 2 * count }, (_, k) => k)
  })
  const block = 2_880

  it("keeps what is few enough as it is", () => {
    const records = of(block)
    assert.strictEqual(thinned(records, block), records)
  })

  it.each([
    [10 * block, 3 * block, 3],
    [4 * block, 2 * block + 5, 2],
    [2 * block, block, 1],
    [2 * block, 100, 1]
  ])("of %i records keeps at most %i, as %i blocks at equal distances", (count, most, blocks) => {
    const { coveredDays, keptShare, timestampsMs, values } = thinned(of(count), most)
    const size = Math.min(block, most)
    assert.lengthOf(timestampsMs, blocks * size)
    // A block begins where the record before is not kept; the end goes on at the beginning.
    const kept = new Set(timestampsMs)
    const starts = [...timestampsMs].filter((i) => !kept.has((i + count - 1) % count))
    assert.lengthOf(starts, blocks)
    for (let b = 1; b < blocks; b++) assert.closeTo(starts[b]! - starts[b - 1]!, count / blocks, 1)
    assert.deepStrictEqual(
      [...timestampsMs],
      [...kept].sort((a, b) => a - b)
    )
    assert.deepStrictEqual(
      [...values],
      [...timestampsMs].flatMap((i) => [2 * i, 2 * i + 1])
    )
    // As many days were seen as before; alarms are counted per those of them that are left.
    assert.strictEqual(coveredDays, 100)
    assert.closeTo(keptShare, (blocks * size) / count, 1e-9)
  })

  it("keeps of a fleet every part of the year alike, and of a home always the same", () => {
    const count = 100 * block
    const records = of(count)
    const home = (number: number) => thinned({ ...records, installationId: `home-${number}` }, block).timestampsMs
    const homes = Array.from({ length: 400 }, (_, number) => home(number))
    const parts = new Array<number>(10).fill(0)
    for (const kept of homes) for (const i of kept) parts[Math.floor((10 * i) / count)]!++
    for (const kept of parts) assert.closeTo(kept / (40 * block), 1, 0.5)
    assert.deepStrictEqual(home(7), homes[7])
  })
})
