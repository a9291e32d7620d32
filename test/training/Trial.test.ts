/** Homes on trial: what counts as time that was looked at. */
import { assert, describe, it } from "@effect/vitest"
import type { HomeRecords } from "../../src/training/HomeRecords.js"
import { dayMs } from "../../src/training/HomeRecords.js"
import { type Candidate, tryHome } from "../../src/training/Trial.js"
import { smallFleet } from "../support/trainedFleet.js"

/** Above the threshold always: an alarm an hour. */
const nervous: Candidate = {
  name: "nervous",
  features: ["temp_outside"],
  detectors: (features) => {
    const detector = { features, scoreOne: () => 0.9, learnOne: () => {}, save: () => () => {} }
    return { heating: detector, cooling: detector, water: detector, standby: detector }
  }
}

const [home] = smallFleet({ homes: 1, days: 4, seed: 5 })
const options = { seed: 1, episodesPerHome: 10 }
const tried = (records: HomeRecords, countFromShare = 0) =>
  tryHome([nervous], records, 0, { ...options, countFromShare })[0]!

describe("tryHome", () => {
  it("counts no week in which nothing arrived", () => {
    const middle = home!.timestampsMs.length / 2
    const moved = { ...home!, timestampsMs: home!.timestampsMs.map((ms, i) => (i < middle ? ms : ms + 300 * dayMs)) }
    const [before, after] = [tried(home!), tried(moved)]
    // Two gaps in ten days are the logger's own.
    assert.isAbove(before.weeks, 3.5 / 7)
    assert.isAtMost(before.weeks, 4.001 / 7)
    assert.closeTo(after.weeks, before.weeks, 0.01 / 7)
    assert.closeTo(after.alarms.length, before.alarms.length, 1)
    // Alarms and weeks are of the same time: an alarm an hour, with what defrosting and gaps take.
    for (const trial of [before, after, tried(home!, 0.75)]) {
      assert.closeTo(trial.alarms.length / trial.weeks, 7 * 24, 12)
    }
  })

  it("keeps every second score of a mode that ran for more than six weeks", () => {
    const minutes = Array.from({ length: 70_000 }, (_, i) => i)
    const records: HomeRecords = {
      installationId: "3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3",
      timestampsMs: Float64Array.from(minutes, (minute) => minute * 60_000),
      columns: new Map([
        ["status_heat_pump", Float64Array.from(minutes, (minute) => (minute % 50 === 49 ? 0 : 1))],
        ["temp_outside", Float64Array.from(minutes)]
      ])
    }
    const numbering: Candidate = {
      ...nervous,
      detectors: (features) => {
        const detector = { ...nervous.detectors(features).heating, scoreOne: (values: Float64Array) => values[0]! }
        return { heating: detector, cooling: detector, water: detector, standby: detector }
      }
    }
    const [trial] = tryHome([numbering], records, 0, { seed: 1, episodesPerHome: 0 })
    const [heating, standby] = [0, 1].map((rest) => minutes.filter((i) => (i % 50 === 49 ? 1 : 0) === rest))
    assert.deepStrictEqual(
      [...trial!.clean.heating.scores],
      heating!.filter((_, i) => i % 2 === 0)
    )
    assert.deepStrictEqual([...trial!.clean.standby.scores], standby)
  })
})
