import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { statusBit } from "../../src/domain/Mode.js"
import { sensors } from "../../src/domain/Sensor.js"
import type { Submission } from "../../src/domain/Submission.js"
import { ByteBuffer } from "../../src/pipeline/ByteBuffer.js"
import { submissionOf } from "../../src/pipeline/Decode.js"
import { dayMs, simulateHome } from "./fleet.js"
import { soil } from "./fleetDirt.js"
import { submitBodies } from "./fleetOutput.js"

const startMs = Date.UTC(2025, 0, 1)
const median = (values: ReadonlyArray<number>) => [...values].sort((a, b) => a - b)[values.length >> 1]!
const correlation = (a: Float64Array, b: Float64Array) => {
  const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [meanA, meanB] = [mean(a), mean(b)]
  let [ab, aa, bb] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    ab += (a[i]! - meanA) * (b[i]! - meanB)
    aa += (a[i]! - meanA) ** 2
    bb += (b[i]! - meanB) ** 2
  }
  return ab / Math.sqrt(aa * bb)
}

/** Means over the minutes in which a home's heat pump runs and does not defrost, and its counts per year. */
const summary = (home: number) => {
  const names = ["temp_heat_pump_flow", "temp_heat_pump_return", "power_current", "power_thermal"]
  const { columns } = simulateHome({ seed: 11, home, startMs, days: 365, sensors: ["status_heat_pump", ...names] })
  const status = columns.get("status_heat_pump")!
  let starts = 0
  let defrosts = 0
  const running: Array<number> = []
  for (let i = 1; i < status.length; i++) {
    if (status[i] !== 0 && status[i - 1] === 0) starts++
    if (status[i]! & statusBit.defrosting && !(status[i - 1]! & statusBit.defrosting)) defrosts++
    if (status[i] === statusBit.heating || status[i] === statusBit.water) running.push(i)
  }
  const [flow, returned, power, heat] = names.map((name) => {
    const values = columns.get(name)!
    return running.reduce((sum, i) => sum + values[i]!, 0) / running.length
  })
  return { cop: heat! / power!, flow, returned, power, heat, startsPerHour: starts / 8760, defrosts }
}

describe("the simulated fleet", () => {
  it("is like real systems over a year", () => {
    const homes = Array.from({ length: 5 }, (_, home) => summary(home))
    // Medians of 304 real systems, and how far ours may be from them.
    const real = [
      ["cop", 4.1, 0.15],
      ["flow", 34, 0.12],
      ["returned", 30, 0.15],
      ["power", 0.97, 0.35],
      ["heat", 3.9, 0.35],
      ["startsPerHour", 0.27, 0.5],
      ["defrosts", 830, 0.4]
    ] as const
    for (const [name, expected, tolerance] of real) {
      const ours = median(homes.map((home) => home[name]!))
      assert.closeTo(ours / expected, 1, tolerance, `${name}: ${ours} instead of ${expected}`)
    }
  })

  it("is the same for the same seed, another for another, and shares its weather", () => {
    const options = { seed: 5, home: 1, startMs, days: 20 }
    const home = simulateHome(options)
    assert.deepStrictEqual(simulateHome(options), home)
    const outside = (home: number, seed = 5) => simulateHome({ ...options, home, seed }).columns.get("temp_outside")!
    assert.notDeepEqual(outside(1, 6), outside(1))
    assert.isAbove(correlation(outside(1), outside(2)), 0.7)
  })

  it("stays within the registry's bounds; with dirt the server takes what is left, and nothing else is lost", () => {
    const clean = simulateHome({ seed: 5, home: 3, startMs, days: 10 })
    for (const [name, values] of clean.columns) {
      const sensor = sensors.get(name)
      assert.isDefined(sensor, name)
      assert.isTrue(
        values.every((value) => value >= sensor!.min && value <= sensor!.max),
        name
      )
    }
    const dirty = soil(clean, { seed: 1 })
    assert.isBelow(dirty.timestampsMs.length, clean.timestampsMs.length)
    const nowMs = startMs + 11 * dayMs
    const submissions = submitBodies(dirty, { model: "AERO SLM" }).map((body) =>
      Effect.runSync(submissionOf(JSON.parse(body), nowMs, 365 * dayMs, new ByteBuffer()))
    )
    const sum = (count: (submission: Submission) => number) => submissions.reduce((n, one) => n + count(one), 0)
    assert.deepStrictEqual([sum((one) => one.processed), sum((one) => one.rejected)], [dirty.timestampsMs.length, 0])
    const values = [...dirty.columns.values()].reduce(
      (n, column) => n + column.filter((value) => !Number.isNaN(value)).length,
      0
    )
    const dropped = sum((one) => one.fieldsDropped)
    assert.strictEqual(dropped + sum((one) => one.readings.reduce((n, { samples }) => n + samples, 0)), values)
    assert.isAbove(dropped, 50)
    assert.isBelow(dropped / values, 0.001)
  })
})
