import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { modes, statusSensor } from "../../src/domain/Mode.js"
import { featuresOf, scoredSensors } from "../../src/training/FeatureNames.js"
import { featuresOfSample, loadDanfo } from "../../src/training/Features.js"
import type { InstallationRecords } from "../../src/training/InstallationRecords.js"
import { measurementsOf } from "../../src/training/Measurements.js"
import { MersenneTwister } from "../../src/training/MersenneTwister.js"
import { modesOfRecords } from "../../src/training/ModesOfRecords.js"
import { earlierSample, sampleRecords } from "../../src/training/Sampling.js"
import { SensorCoverage } from "../../src/training/SensorCoverage.js"
import { simulateHome } from "../support/fleet.js"
import { soil } from "../support/fleetDirt.js"
import { replayFeatures } from "../support/replayFeatures.js"

const startMs = Date.UTC(2025, 0, 1)
const nan = Number.NaN
const recordsOf = (columns: Readonly<Record<string, ReadonlyArray<number>>>, stepMs = 60_000): InstallationRecords => {
  const [first = []] = Object.values(columns)
  return {
    installationId: "home",
    heatpumpId: undefined,
    timestampsMs: Float64Array.from(first, (_, i) => startMs + i * stepMs),
    columns: new Map(Object.entries(columns).map(([name, values]) => [name, Float64Array.from(values)]))
  }
}
const column = (records: InstallationRecords, name: string) => Array.from(records.columns.get(name)!)

describe("replayFeatures", () => {
  it("derives what the ml-service derives, by its rules", () => {
    const records = recordsOf({
      temp_heat_pump_flow: [35.5, 0, nan, 36],
      temp_flow_current_circuit_a: [1, 34, nan, 1],
      temp_heat_pump_return: [30, 31, 31, 0],
      power_thermal: [4, 4, nan, 0.1],
      power_current: [1, 0.2, 1, 0.21]
    })
    const names = [
      "hour_of_day",
      "day_of_week",
      "is_weekend",
      "temp_heat_pump_flow_delta",
      "hour_of_day_delta",
      "temp_spread",
      "cop_instant",
      "humidity"
    ]
    const features = replayFeatures(
      {
        ...records,
        timestampsMs: Float64Array.of(0, 23.5, 48, 72).map((hour) => Date.UTC(2025, 0, 3) + hour * 3_600_000)
      },
      names
    )
    assert.deepStrictEqual(
      names.map((name) => Array.from(features.get(name)!)),
      [
        [0, 23, 0, 0],
        // A Friday.
        [4, 4, 6, 0],
        [0, 0, 1, 0],
        [nan, -35.5, nan, 36],
        [nan, 23, -23, 0],
        [5.5, 3, nan, nan],
        [4, 0, nan, 0.1 / 0.21],
        [nan, nan, nan, nan]
      ]
    )
  })
})

describe("Features", () => {
  it("are the same from danfo's frames as from the loops, to the last bit, on arbitrary records", async () => {
    const danfo = await Effect.runPromise(loadDanfo)
    const sensors = [
      "temp_outside",
      "temp_heat_pump_flow",
      "temp_flow_current_circuit_a",
      "temp_heat_pump_return",
      "power_thermal",
      "power_current",
      "energy_heat_total"
    ]
    const features = [...featuresOf(sensors), "humidity", "humidity_delta"]
    const value = fc.oneof(
      fc.double({ noDefaultInfinity: true }),
      fc.constantFrom(0, -0, nan, 0.2, -1, 21.4),
      fc.double({ min: -60, max: 200, noNaN: true })
    )
    const record = fc.record({
      status: fc.constantFrom(0, 1, 2, 4, 5, 8, 9, nan),
      gapMs: fc.integer({ min: 1, max: 90_000_000 }),
      values: fc.array(value, { minLength: sensors.length, maxLength: sensors.length })
    })
    fc.assert(
      fc.property(fc.array(record, { maxLength: 40 }), (made) => {
        let atMs = startMs
        const timestampsMs = Float64Array.from(made, ({ gapMs }) => (atMs += gapMs))
        const records: InstallationRecords = {
          installationId: "home",
          heatpumpId: undefined,
          timestampsMs,
          columns: new Map([
            [statusSensor, Float64Array.from(made, ({ status }) => status)],
            ...sensors.map((name, k) => [name, Float64Array.from(made, ({ values }) => values[k]!)] as const)
          ])
        }
        const expected = replayFeatures(records, features)
        const codes = modesOfRecords(records)
        sampleRecords(records, { share: made.length + 1, seed: 1 }).forEach((sample, code) => {
          const rows = Array.from(codes.keys()).filter((row) => codes[row] === code)
          const matrix = featuresOfSample(danfo, sample, features)
          assert.deepStrictEqual(
            Array.from(matrix),
            rows.flatMap((row) => features.map((name) => expected.get(name)![row]!))
          )
        })
      }),
      { numRuns: 60 }
    )
  })
})

describe("Measurements", () => {
  it("are within bounds, no markers of absent probes, no byte-order faults", () => {
    const records = measurementsOf(
      recordsOf({
        temp_outside: [-1, -1.1, 1e31, 2.4e-27, 0, 85, nan],
        temp_external_room_a: [-1, -1, -1, -1, 20, nan, nan],
        humidity: [-1, 40, 111, 0, 50, 60, 70],
        charge_state_battery: [65535, -1, 50, 60, 70, 80, 90],
        failure_id: [0, 65535, 0, 0, -1, 3, 4],
        made_up: [1e14, -5, 1e-30, 0, 1, 2, 3]
      })
    )
    assert.deepStrictEqual(column(records, "temp_outside"), [-1, -1.1, nan, nan, 0, 85, nan])
    assert.deepStrictEqual(column(records, "temp_external_room_a"), [nan, nan, nan, nan, 20, nan, nan])
    assert.deepStrictEqual(column(records, "humidity"), [nan, 40, nan, 0, 50, 60, 70])
    assert.deepStrictEqual(column(records, "charge_state_battery"), [nan, nan, 50, 60, 70, 80, 90])
    assert.deepStrictEqual(column(records, "failure_id"), [0, nan, 0, 0, nan, 3, 4])
    assert.deepStrictEqual(column(records, "made_up"), [nan, -5, nan, 0, 1, 2, 3])
  })

  it("are the columns themselves where nothing is wrong, and leave the others as they were", () => {
    const raw = recordsOf({ temp_outside: [1, nan, 85, -0], humidity: [40, 111, nan, 50] })
    const records = measurementsOf(raw)
    assert.strictEqual(records.columns.get("temp_outside"), raw.columns.get("temp_outside"))
    assert.deepStrictEqual(column(records, "humidity"), [40, nan, nan, 50])
    assert.deepStrictEqual(column(raw, "humidity"), [40, 111, nan, 50])
  })
})

describe("SensorCoverage", () => {
  it("keeps what nearly all heat pumps measure and what moves", () => {
    const coverage = new SensorCoverage()
    for (let home = 0; home < 10; home++) {
      const dirty = soil(simulateHome({ seed: 2, home, startMs, days: 2 }), { seed: 3 })
      const columns = new Map(dirty.columns)
      const size = dirty.timestampsMs.length
      columns.set("temp_solar_collector", new Float64Array(size).fill(nan))
      columns.set(
        "temp_hgl_flow",
        columns.get("temp_hgl_flow")!.map((v, i) => (i < size * 0.7 ? nan : v))
      )
      if (home < 2) columns.delete("humidity")
      if (home < 1) columns.delete("temp_room_circuit_a")
      coverage.add(measurementsOf({ ...dirty, columns, heatpumpId: undefined }))
    }
    const sensors = coverage.fleetSensors()
    assert.includeMembers([...sensors], ["temp_outside", "power_current", "temp_room_circuit_a", "energy_heat_total"])
    for (const name of [
      "status_heat_pump",
      "temp_solar_collector",
      "temp_hgl_flow",
      "humidity",
      "temp_cold_storage",
      "curve_circuit_a",
      "state_brine_pump"
    ]) {
      assert.notInclude(sensors, name)
    }
    assert.strictEqual(coverage.all().find(({ sensor }) => sensor === "humidity")?.coverage, 0.8)
  })
})

describe("Sampling", () => {
  const home = { ...simulateHome({ seed: 2, home: 1, startMs, days: 10 }), heatpumpId: undefined }

  it("takes each mode's share, spread over the whole time, by the seed alone", () => {
    const sample = sampleRecords(home, { share: 200, seed: 1 })
    const codes = modesOfRecords(home)
    modes.forEach((_, code) => {
      const { timestampsMs } = sample[code]!
      const there = home.timestampsMs.filter((_, i) => codes[i] === code)
      assert.strictEqual(timestampsMs.length, Math.min(200, there.length))
      const bound = (stratum: number) => Math.floor((stratum * there.length) / timestampsMs.length)
      timestampsMs.forEach((timestampMs, k) => {
        const rank = there.indexOf(timestampMs)
        assert.isTrue(rank >= bound(k) && rank < bound(k + 1), `stratum ${k}`)
      })
    })
    assert.deepStrictEqual(sampleRecords(home, { share: 200, seed: 1 }), sample)
    assert.notDeepEqual(sampleRecords(home, { share: 200, seed: 2 })[0]!.timestampsMs, sample[0]!.timestampsMs)
  })

  it("of the first part of the time has nothing of the rest, and all of what was before it", () => {
    const sample = sampleRecords(home, { share: 200, seed: 1 })
    const times = sample.flatMap(({ timestampsMs }) => [...timestampsMs])
    const [firstMs, lastMs] = [Math.min(...times), Math.max(...times)]
    const earlier = earlierSample(sample, 0.8)
    for (const [code, { columns, previousMs, timestampsMs }] of earlier.entries()) {
      const whole = sample[code]!
      const kept = whole.timestampsMs.filter((timeMs) => timeMs < firstMs + 0.8 * (lastMs - firstMs))
      assert.deepStrictEqual(timestampsMs, kept)
      assert.deepStrictEqual(previousMs, whole.previousMs.slice(0, kept.length))
      assert.deepStrictEqual([...columns.keys()], [...whole.columns.keys()])
      for (const [name, { previous, values }] of columns) {
        assert.deepStrictEqual(values, whole.columns.get(name)!.values.slice(0, kept.length))
        assert.deepStrictEqual(previous, whole.columns.get(name)!.previous.slice(0, kept.length))
      }
    }
  })

  /** FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ */
  const fnv = (text: string) =>
    Number([...Buffer.from(text)].reduce((hash, byte) => ((hash ^ BigInt(byte)) * 0x1000193n) % 2n ** 32n, 0x811c9dc5n))

  it("draws as seed, mode and heat pump say, and keeps beside each record what came before it", () => {
    const status = [0, 1, 1, 1, nan, 1, 8, 1, 1, 1, 4, 1]
    const temp = [3, nan, 5, 6, 7, nan, nan, nan, 1, 2, 3, 4]
    const heating = [1, 2, 3, 5, 7, 8, 9, 11]
    for (const heatpumpId of [undefined, "hp-1"]) {
      const records = { ...recordsOf({ [statusSensor]: status, temp }), heatpumpId }
      const random = new MersenneTwister(fnv(`7 heating home ${heatpumpId ?? ""}`))
      const rows = [0, 2, 5].map((from, k) => heating[from + Math.floor(random.random() * ([2, 5, 8][k]! - from))]!)
      const [sampled, cooling, water] = sampleRecords(records, { share: 3, seed: 7 })
      assert.deepStrictEqual(
        [...sampled!.timestampsMs],
        rows.map((row) => startMs + row * 60_000)
      )
      assert.deepStrictEqual(
        [...sampled!.previousMs],
        rows.map((row) => startMs + (row - 1) * 60_000)
      )
      assert.deepStrictEqual([...sampled!.columns.keys()], ["temp"])
      const column = sampled!.columns.get("temp")!
      assert.deepStrictEqual(
        [...column.values],
        rows.map((row) => temp[row]!)
      )
      assert.deepStrictEqual(
        [...column.previous],
        rows.map((row) => temp.slice(0, row).findLast((value) => !Number.isNaN(value))!)
      )
      assert.deepStrictEqual([cooling!.timestampsMs.length, water!.timestampsMs.length], [0, 1])
    }
    const first = sampleRecords(recordsOf({ [statusSensor]: [1], temp: [nan] }), { share: 3, seed: 7 })[0]!
    assert.deepStrictEqual([first.previousMs[0], first.columns.get("temp")!.previous[0]], [nan, nan])
  })
})

describe("scoredSensors", () => {
  it("are those that the ml-service reads by default", () => {
    for (const name of [
      "temp_outside",
      "temp_room_circuit_a",
      "state_compressor_1",
      "curve_offset_a",
      "temp_external_room_a"
    ])
      assert.isTrue(scoredSensors.has(name), name)
    for (const name of [
      "temp_room_circuit_b",
      "curve_offset_g",
      "temp_external_room_c",
      "mode_zone_1",
      "temp_room_zone_2_room_3",
      "power_solar_surplus",
      "acknowledge_faults"
    ])
      assert.isFalse(scoredSensors.has(name), name)
  })
})
