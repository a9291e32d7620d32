import { assert, describe, it } from "@effect/vitest"
import { coveredDays, dayMs, earlier } from "../../src/training/HomeRecords.js"

const minuteMs = 60_000
/** A record a minute on the first day, then none for 300 days, then another day of them. */
const timestampsMs = Float64Array.from({ length: 2_880 }, (_, i) => i * minuteMs + (i < 1_440 ? 0 : 300 * dayMs))
const home = {
  installationId: "home",
  timestampsMs,
  columns: new Map([["temp_outside", Float64Array.from(timestampsMs.keys())]])
}

describe("HomeRecords", () => {
  it("cover no time while nothing comes, beyond the five minutes that the service looks back", () => {
    assert.closeTo(coveredDays(home), 2 + (5 - 1 - 1) / 1_440, 1e-9)
    assert.strictEqual(coveredDays({ ...home, timestampsMs: new Float64Array() }), 0)
  })

  it("are cut at a share of the time from the first to the last, whatever was recorded in it", () => {
    const half = earlier(home, 0.5)
    assert.deepStrictEqual([half.timestampsMs.length, half.columns.get("temp_outside")!.length], [1_440, 1_440])
    const most = earlier(home, 1 - 0.25 / 302)
    assert.closeTo(most.timestampsMs.length, 2_880 - 360, 2)
    assert.deepStrictEqual([...most.columns.get("temp_outside")!], [...most.timestampsMs.keys()])
    assert.strictEqual(earlier(home, 1), home)
  })
})
