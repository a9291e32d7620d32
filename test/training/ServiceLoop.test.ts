import { assert, describe, it } from "@effect/vitest"
import { modes } from "../../src/domain/Mode.js"
import type { Detector } from "../../src/training/Detector.js"
import { AlarmRule, pollsOf, runLoop, sightingsFrom, sightingsOf } from "../../src/training/ServiceLoop.js"
import { replayFeatures } from "../support/replayFeatures.js"

const minute = 60_000
const startMs = Date.UTC(2026, 0, 5, 23, 58)
const home = (status: ReadonlyArray<number>, flow: ReadonlyArray<number>, minutes = status.map((_, i) => i)) => ({
  installationId: "3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3",
  timestampsMs: Float64Array.from(minutes, (m) => startMs + m * minute),
  columns: new Map([
    ["status_heat_pump", Float64Array.from(status)],
    ["temp_heat_pump_flow", Float64Array.from(flow)],
    ["temp_heat_pump_return", Float64Array.from(flow, (value) => (value === 0 ? 0 : value - 5))]
  ])
})

describe("ServiceLoop", () => {
  it("sees each record twice, the second time with deltas of 0", () => {
    const features = ["temp_heat_pump_flow", "temp_heat_pump_flow_delta", "temp_spread", "hour_of_day", "day_of_week"]
    const { isNew, modes: seen, values } = sightingsOf(home([1, 1, 4, 9], [30, 33, 0, 40]), features)
    assert.deepStrictEqual([...isNew.subarray(0, 6)], [1, 0, 1, 0, 1, 0])
    assert.deepStrictEqual(
      [...seen.subarray(0, 8)],
      [...Array(4).fill(modes.indexOf("heating")), ...Array(2).fill(modes.indexOf("water")), -1, -1]
    )
    const column = (k: number) => [0, 1, 2, 3, 4, 5].map((i) => values[i * features.length + k]!)
    assert.deepStrictEqual(column(0), [30, 30, 33, 33, 0, 0])
    assert.deepStrictEqual(column(1), [Number.NaN, 0, 3, 0, -33, 0])
    // A flow of 0 counts as missing.
    assert.deepStrictEqual(column(2), [5, 5, 5, 5, Number.NaN, Number.NaN])
    assert.deepStrictEqual(column(3), [23, 23, 23, 23, 0, 0])
    assert.deepStrictEqual(column(4), [0, 0, 0, 0, 1, 1])
  })

  it("derives what the rules say of a record, at its first sighting", () => {
    const records = {
      ...home([1, 1, 1, 1, 1, 1], [35.5, 0, 33, 36, 30, 31]),
      heatpumpId: undefined
    }
    const nan = Number.NaN
    records.columns.set("power_thermal", Float64Array.of(4, nan, 4, nan, 0.1, 4))
    records.columns.set("power_current", Float64Array.of(1, 0.1, 0.2, 1, 0.21, nan))
    const features = ["cop_instant", "temp_spread", "hour_of_day", "temp_heat_pump_flow_delta"]
    for (let i = 0; i < 6; i++) {
      const only = {
        ...records,
        timestampsMs: records.timestampsMs.slice(i, i + 1),
        columns: new Map(Array.from(records.columns, ([name, values]) => [name, values.slice(i, i + 1)]))
      }
      const replayed = replayFeatures(only, features)
      assert.deepStrictEqual(
        [...sightingsOf(only, features).values.subarray(0, features.length)],
        features.map((name) => replayed.get(name)![0]!),
        `record ${i}`
      )
    }
  })

  it("keeps a value for five minutes, and pauses in a gap", () => {
    const gap = sightingsOf(home([1, 1, 1], [30, Number.NaN, 31], [0, 1, 30]), ["temp_heat_pump_flow"])
    const minutes = Array.from(gap.timesMs, (timeMs) => Math.floor((timeMs - startMs) / minute))
    assert.deepStrictEqual([...new Set(minutes)], [0, 1, 2, 3, 4, 5, 30])
    assert.strictEqual(gap.values[2], 30)
    assert.isTrue(Number.isNaN(gap.values[10]))
  })

  it("sees the same in pieces as at once, whatever is kept of the piece before", () => {
    const minutes = [...Array(40).keys()].map((i) => (i < 20 ? i : i + 600))
    const flow = minutes.map((m) => (m % 7 === 3 ? Number.NaN : 30 + Math.sin(m)))
    const records = home(
      minutes.map((m) => [1, 1, 4, 9, 0][m % 5]!),
      flow,
      minutes
    )
    const features = ["temp_heat_pump_flow_delta", "temp_spread", "hour_of_day", "temp_heat_pump_flow"]
    const all = sightingsOf(records, features)
    const polls = pollsOf(records, features)
    const times: Array<number> = []
    let at = 0
    let rest = polls.read(startMs)
    for (let step = 1; polls.nextMs() < Number.POSITIVE_INFINITY; step++) {
      rest = polls.read(polls.nextMs() + step * 50_000, rest)
      const count = rest.timesMs.length
      for (const name of ["timesMs", "modes", "isNew"] as const) {
        assert.deepStrictEqual([...rest[name]], [...all[name].subarray(at, at + count)])
      }
      assert.deepStrictEqual(
        [...rest.values],
        [...all.values.subarray(at * features.length, (at + count) * features.length)]
      )
      const done = Math.floor(count / 2)
      times.push(...rest.timesMs.subarray(0, done))
      rest = sightingsFrom(rest, done)
      at += done
    }
    assert.deepStrictEqual([...times, ...rest.timesMs], [...all.timesMs])
    assert.isAbove(times.length, 40)
  })

  it("alarms at the third score above 0.7 in a row, then not for an hour", () => {
    const rule = new AlarmRule()
    const scores = [0.71, 0.9, 0.7, 0.9, 0.9, 0.9, 0.9, ...Array<number>(117).fill(0.8)]
    const alarms = scores.flatMap((score, i) => (rule.observe(score, i * 30_000) ? [i] : []))
    assert.deepStrictEqual(alarms, [5])
    assert.isTrue(rule.observe(0.8, (5 + 120) * 30_000))
  })

  it("scores before it learns, in the mode's detector, and skips defrosting", () => {
    const calls: Array<string> = []
    const detector = (name: string): Detector => ({
      features: [],
      scoreOne: (values) => {
        calls.push(`score ${name} ${values[0]}`)
        return 0
      },
      learnOne: (values) => {
        calls.push(`learn ${name} ${values[0]}`)
      },
      save: () => () => {}
    })
    const detectors = {
      heating: detector("heating"),
      cooling: detector("cooling"),
      water: detector("water"),
      standby: detector("standby")
    }
    const sightings = sightingsOf(home([1, 9, 0], [30, 31, 32]), ["temp_heat_pump_flow"])
    runLoop(detectors, sightings, new AlarmRule(), () => {})
    assert.deepStrictEqual(
      calls.filter((call, i) => calls.indexOf(call) === i),
      ["score heating 30", "learn heating 30", "score standby 32", "learn standby 32"]
    )
    assert.strictEqual(calls.filter((call) => call === "learn heating 30").length, 2)
  })
})
