/** The residual model: its pipeline against its formulas, against real River, and where data fall short. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { writeModel } from "../../src/artifact/RiverPickle.js"
import { type Model, neverAlarming, neverAlarms } from "../../src/artifact/RiverPipeline.js"
import { compile } from "../../src/training/Detector.js"
import { recordsByMode } from "../../src/training/FitHomes.js"
import { HomeReplay } from "../../src/training/HomeReplay.js"
import { type ModeRecords, physicalRange } from "../../src/training/ModeRecords.js"
import { fitResidualMap, residualsOf } from "../../src/training/ResidualMap.js"
import { fitResidualModel } from "../../src/training/ResidualModel.js"
import { residualPipeline } from "../../src/training/ResidualPipeline.js"
import { chooseSensors, trainResidual, widening } from "../../src/training/ResidualTraining.js"
import { sightingsOf } from "../../src/training/ServiceLoop.js"
import { dayMs } from "../support/fleet.js"
import { describeWithPython, runPython } from "../support/python.js"
import { modesOf, sensors, smallFleet } from "../support/trainedFleet.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-residual-"))
afterAll(() => rmSync(directory, { recursive: true }))

const homes = smallFleet({ homes: 7, days: 3, seed: 21 })
const stranger = homes[6]!
const records = modesOf(homes.slice(0, 6))
const fitted = fitResidualModel("heating", sensors, records.heating)
const pipeline = residualPipeline(fitted)

const without = (home: ModeRecords): ModeRecords => ({
  ...home,
  timestampsMs: new Float64Array(),
  values: new Float64Array()
})

describe("ResidualModel", () => {
  it("alarms in its pipeline exactly where its formulas do, in a home that it never saw", () => {
    const home = recordsByMode(stranger, sensors).heating
    const replay = new HomeReplay(fitted.prior, fitted.windowSightings, fitted.windowLimit)
    const detector = compile(pipeline, sensors)
    const d = sensors.length
    // The last fifth with a heater that is stuck on, so that there is something to find.
    const faultyFrom = Math.floor(0.8 * home.timestampsMs.length)
    const power = sensors.indexOf("power_current")
    const heat = sensors.indexOf("power_thermal")
    for (let i = faultyFrom; i < home.timestampsMs.length; i++) {
      home.values[i * d + power]! += 3
      home.values[i * d + heat]! += 3
    }
    const residuals = residualsOf(fitted.map, home)
    const above = { clean: 0, faulty: 0 }
    for (let i = 0; i < home.timestampsMs.length; i++) {
      for (let sighting = 0; sighting < 2; sighting++) {
        const record = home.values.subarray(i * d, (i + 1) * d)
        replay.look(residuals, i * d)
        const s = replay.columns.reduce((sum, g, c) => sum + (g / fitted.scale[c]!) ** 2 / (2 * d), 0)
        const score = detector.scoreOne(record)
        // The table's leaves are 5 % wide, its edge at the threshold is exact.
        assert.strictEqual(score > 0.7, s >= fitted.threshold, `record ${i}: S ${s}, score ${score}`)
        if (s > fitted.threshold / 20 && s < fitted.threshold * 20) {
          assert.closeTo(score, s / (s + (3 / 7) * fitted.threshold), 0.02)
        }
        if (s >= fitted.threshold) above[i < faultyFrom ? "clean" : "faulty"]++
        replay.learn(residuals, i * d)
        detector.learnOne(record)
      }
    }
    assert.isBelow(above.clean, 0.01 * faultyFrom)
    assert.isAbove(above.faulty, 100)
  })

  it("learns nothing of a value that no heat pump can show, and little of a glitch", () => {
    const home = recordsByMode(stranger, sensors).heating
    const d = sensors.length
    const record = (i: number) => home.values.slice(i * d, (i + 1) * d)
    const run = (glitch: (record: Float64Array) => void) => {
      const detector = compile(pipeline, sensors)
      for (let i = 0; i < 400; i++) {
        detector.scoreOne(record(i))
        detector.learnOne(record(i))
      }
      const bad = record(400)
      glitch(bad)
      const atGlitch = detector.scoreOne(bad)
      detector.learnOne(bad)
      return { atGlitch, after: Array.from({ length: 60 }, (_, i) => detector.scoreOne(record(401 + i))) }
    }
    const flow = sensors.indexOf("temp_heat_pump_flow")
    const clean = run((values) => values.fill(Number.NaN))
    for (const value of [1e31, -3.4e38, physicalRange("temp_heat_pump_flow").high + 5]) {
      const { after, atGlitch } = run((values) => {
        values[flow] = value
      })
      assert.isAbove(atGlitch, 0.7)
      assert.isBelow(Math.max(...after.map((score, i) => Math.abs(score - clean.after[i]!))), 0.06)
    }
    const inRange = run((values) => {
      values[flow] = 85
    })
    assert.isAbove(inRange.atGlitch, 0.7)
    assert.isBelow(Math.max(...inRange.after), 0.7)
  })
})

describe("the alarms that a calibration allows", () => {
  it("go by the time that is replayed: not by gaps in it, nor by records that were thinned out", () => {
    const moved = homes.slice(0, 6).map((home) => ({
      ...home,
      timestampsMs: home.timestampsMs.map((timeMs, i) => timeMs + (2 * i < home.timestampsMs.length ? 0 : 300 * dayMs))
    }))
    assert.strictEqual(fitResidualModel("heating", sensors, modesOf(moved).heating).threshold, fitted.threshold)
    const few = records.heating.map((home) => ({ ...home, coveredDays: 20 * home.coveredDays, keptShare: 1 / 20 }))
    const { byMode, warnings } = trainResidual(
      { sensors, missing: [] },
      { heating: few, cooling: few.map(without), water: few.map(without), standby: few.map(without) },
      6
    )
    assert.closeTo(byMode.heating.threshold!, fitted.threshold * widening, 1e-9)
    // What was seen is another matter.
    assert.match(warnings[0]!, /^heating: 6 heat pumps of 59 days fitted/)
  })

  it("are those of houses that the model has not seen, whichever heat pump it saw", () => {
    const twins = records.heating.flatMap((home) => [home, home])
    const { threshold } = fitResidualModel("heating", sensors, twins)
    assert.closeTo(threshold / fitted.threshold, 1, 0.03)
  })

  it("are held back in time where there is one house, however many heat pumps it has", () => {
    const [home] = records.heating
    const twins = fitResidualModel("heating", sensors, [home!, home!])
    const { threshold } = fitResidualModel("heating", sensors, [home!])
    assert.closeTo(twins.threshold / threshold, 1, 0.03)
  })
})

describe("ResidualMap", () => {
  it("takes the median of a large fleet from a sample spread over it", () => {
    const records = 200_000
    const values = Float64Array.from({ length: records }, (_, i) => (i % 2 === 0 ? i / 1_000 : 1e6))
    const large = {
      installationId: "large",
      coveredDays: 1,
      keptShare: 1,
      timestampsMs: new Float64Array(records),
      values
    }
    assert.strictEqual(fitResidualMap(["temp_heat_source_input"], [large]).mean[0], 100)
  })
})

describe("ResidualTraining", () => {
  const coverage = (missing: ReadonlyArray<string>) =>
    sensors.map((sensor) => ({ sensor, coverage: missing.includes(sensor) ? 0.8 : 0.95 }))

  it("leaves out what fewer than nine in ten homes have, and says so", () => {
    const choice = chooseSensors([
      ...coverage(["temp_heat_source_output", "temp_water_heater_top"]),
      { sensor: "temp_air_heat_exchanger", coverage: 1 }
    ])
    assert.notInclude(choice.sensors, "temp_water_heater_top")
    assert.include(choice.sensors, "temp_air_heat_exchanger")
    assert.deepStrictEqual(choice.missing, ["temp_water_heater_top"])
  })

  const lacking = smallFleet({ homes: 1, days: 3, seed: 22 })[0]!
  const columns = new Map([...lacking.columns].filter(([name]) => name !== "power_thermal"))
  const training = trainResidual(
    { sensors, missing: ["temp_room_circuit_a"] },
    modesOf([...homes.slice(0, 6), { ...lacking, columns }]),
    7
  )
  const hasWarning = (pattern: RegExp) => training.warnings.some((warning) => pattern.test(warning))

  it("names what it works without", () => {
    assert.isTrue(hasWarning(/fewer than 90 % of the heat pumps have temp_room_circuit_a/))
  })

  it("widens the threshold and warns below 12 homes or 20 days", () => {
    assert.closeTo(training.byMode.heating.threshold!, fitted.threshold * widening, 1e-9)
    assert.isTrue(hasWarning(/heating: 6 heat pumps of 3 days fitted.* raised by 30 %/))
  })

  it("says which weather it has seen", () => {
    const { high, low } = training.byMode.heating.outdoorCelsius!
    const outside = homes
      .slice(0, 6)
      .flatMap((home) => [...home.columns.get("temp_outside")!].filter((value) => !Number.isNaN(value)))
    assert.isAtLeast(low, Math.min(...outside))
    assert.isAtMost(high, Math.max(...outside))
    assert.isTrue(hasWarning(new RegExp(`trained down to ${low.toFixed(0)} °C outdoors: the first spell`)))
  })

  it("counts the homes that lack one of its sensors, and does not fit them", () => {
    assert.strictEqual(training.byMode.heating.heatpumps, 6)
    assert.isTrue(hasWarning(/^1 of 7 heat pumps lack a sensor/))
  })

  it("counts heat pumps, not homes: two in one are two", () => {
    const some = records.heating.map((home) => ({
      ...home,
      installationId: "one house",
      timestampsMs: home.timestampsMs.subarray(0, 50),
      values: home.values.subarray(0, 50 * sensors.length)
    }))
    // Each has records in one mode only.
    const only = (isHeating: boolean) => some.map((home, i) => (i < 3 === isHeating ? home : without(home)))
    const byMode = { heating: only(true), cooling: only(false), water: some.map(without), standby: some.map(without) }
    const { warnings } = trainResidual({ sensors, missing: [] }, byMode, 6)
    assert.deepStrictEqual(warnings, [])
    const [warning] = trainResidual({ sensors, missing: [] }, byMode, 7).warnings
    assert.match(warning!, /^1 of 7 heat pumps lack a sensor/)
  })

  it("never alarms in a mode with too few records, with a reason; nor at all with three sensors", () => {
    assert.isTrue(neverAlarms(training.model.cooling))
    assert.match(training.byMode.cooling.untrainedBecause!, /0 complete records, 1000 are needed/)
    const few = trainResidual({ sensors: sensors.slice(0, 3), missing: sensors.slice(3) }, records, 6)
    for (const pipeline of Object.values(few.model)) assert.isTrue(neverAlarms(pipeline))
    assert.match(few.byMode.heating.untrainedBecause!, /3 usable sensors, 4 are needed/)
  })
})

describeWithPython("ResidualModel in real River", () => {
  it("scores as it does here, record for record, while it learns", async () => {
    const silent = neverAlarming({ kind: "StandardScaler", withStd: true, features: [] })
    const model: Model = { heating: pipeline, cooling: silent, water: silent, standby: silent }
    const names = [...sensors, "temp_room_circuit_a"]
    const { values } = sightingsOf(stranger, sensors)
    const rows = Array.from({ length: 800 }, (_, i) => {
      const row = Array.from(values.subarray(i * sensors.length, (i + 1) * sensors.length))
      if (i % 97 === 50) row[1] = 1e31
      if (i % 89 === 40) row[0] = 85
      if (i % 61 === 30) row[5] = Number.NaN
      // One that the model does not know, now and then.
      return [...row, i % 7 === 0 ? 21 : Number.NaN]
    })
    const dict = (row: ReadonlyArray<number>) =>
      Object.fromEntries(names.flatMap((name, k) => (Number.isNaN(row[k]) ? [] : [[name, row[k]!]])))
    const learned = rows.slice(0, 500)
    const scored = rows.slice(500)
    const file = join(directory, "model.pkl")
    const input = join(directory, "records.json")
    writeFileSync(file, writeModel(model))
    writeFileSync(input, JSON.stringify({ learn: learned.map(dict), score: scored.map(dict) }))
    const { scores } = await runPython<{
      readonly scores: { readonly heating: Readonly<Record<"before" | "during" | "after", ReadonlyArray<number>>> }
    }>("use_model.py", file, input)
    const detector = compile(pipeline, names)
    const score = (row: ReadonlyArray<number>) => detector.scoreOne(Float64Array.from(row))
    const before = scored.map(score)
    const during = learned.map((row) => {
      const value = score(row)
      detector.learnOne(Float64Array.from(row))
      return value
    })
    const own = { before, during, after: scored.map(score) }
    for (const part of ["before", "during", "after"] as const) {
      assert.strictEqual(scores.heating[part].length, own[part].length)
      for (const [i, value] of scores.heating[part].entries())
        assert.closeTo(value, own[part][i]!, 1e-9, `${part} ${i}`)
    }
    assert.isTrue(during.some((value) => value > 0.7) && during.some((value) => value < 0.3))
  })
})
