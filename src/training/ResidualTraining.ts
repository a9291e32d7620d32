/**
 * Residual models of all modes, and what is said and done where the data fall short of what the design needs:
 *
 * | shortcoming                                  | behaviour                                                          |
 * |----------------------------------------------|--------------------------------------------------------------------|
 * | a sensor that fewer than 90 % of homes have  | left out of the model; named                                       |
 * | a home without one of the model's sensors    | not fitted; its number is given, and that the model is not for it  |
 * | fewer than four usable sensors               | nothing is trained, the program ends with 3                        |
 * | a mode with too few records, in all or in    | a pipeline that never alarms: what is normal for a home could      |
 * | most homes, or 2 days                        | neither be fitted nor be learned by the home's scaler              |
 * | fewer than 12 homes, or 20 days              | threshold × 1.3; warning                                           |
 * | weather colder than any in the data          | warning with the coldest weather seen: its first spell may alarm   |
 */
import { type Model, neverAlarming, type RiverPipeline } from "../artifact/RiverPipeline.js"
import { type Mode, modes } from "../domain/Mode.js"
import type { ModeRecords } from "./ModeRecords.js"
import { quantileOfSorted } from "./Quantile.js"
import { fitResidualModel, type ResidualModel } from "./ResidualModel.js"
import { residualPipeline } from "./ResidualPipeline.js"
import { type CoveredSensor, smallestCoverage } from "./SensorCoverage.js"

/** In this order; of an inner list the first that the fleet has: both tell the evaporator's side. */
const wantedSensors: ReadonlyArray<string | readonly [string, string]> = [
  "temp_outside",
  "temp_heat_pump_flow",
  "temp_heat_pump_return",
  "temp_water_heater_top",
  "power_current",
  "power_thermal",
  "temp_outside_avg",
  "temp_flow_current_circuit_a",
  "temp_flow_target_circuit_a",
  ["temp_heat_source_output", "temp_air_heat_exchanger"]
]

/** Every field that a residual model may read. */
export const residualSensors: ReadonlyArray<string> = wantedSensors.flat()

export const fewestSensors = 4
/** Of a home in a mode, to be fitted. */
const fewestRecords = 100
const fewestModeRecords = 1_000
const fewestMedianRecords = 200
const fewestDays = 2
const enoughHomes = 12
const enoughDays = 20
/** From the first record to the last without the gaps, 20 days are a little less. */
const daySlack = 1
export const widening = 1.3

interface SensorChoice {
  readonly sensors: ReadonlyArray<string>
  /** Wanted, but not covered. */
  readonly missing: ReadonlyArray<string>
}

export const chooseSensors = (coverage: ReadonlyArray<CoveredSensor>): SensorChoice => {
  const share = new Map(coverage.map((row) => [row.sensor, row.coverage]))
  const isCovered = (sensor: string) => (share.get(sensor) ?? 0) >= smallestCoverage
  const choices = wantedSensors.map((wanted) => {
    const names = typeof wanted === "string" ? [wanted] : wanted
    return { names, chosen: names.find(isCovered) }
  })
  return {
    sensors: choices.flatMap(({ chosen }) => chosen ?? []),
    missing: choices.flatMap(({ chosen, names }) => (chosen === undefined ? [names.join(" or ")] : []))
  }
}

interface ResidualMode {
  /** Heat pumps and records that were fitted. */
  readonly heatpumps: number
  readonly records: number
  /** Why it never alarms; undefined when it was trained. */
  readonly untrainedBecause: string | undefined
  readonly threshold: number | undefined
  /** Outdoor temperatures between which 98 % of the records lie, °C. */
  readonly outdoorCelsius: { readonly low: number; readonly high: number } | undefined
}

export interface ResidualTraining {
  readonly model: Model
  readonly choice: SensorChoice
  readonly byMode: Readonly<Record<Mode, ResidualMode>>
  /** Sentences for operators. */
  readonly warnings: ReadonlyArray<string>
}

/** By heat pump, in every mode the same: one that lacks the mode, or a sensor, has no records. */
export type ModeRecordsByMode = Readonly<Record<Mode, ReadonlyArray<ModeRecords>>>

const outdoorRange = (sensors: ReadonlyArray<string>, homes: ReadonlyArray<ModeRecords>) => {
  const column = sensors.indexOf("temp_outside")
  if (column < 0) return undefined
  const values: Array<number> = []
  for (const home of homes) {
    for (let i = column; i < home.values.length; i += 10 * sensors.length) values.push(home.values[i]!)
  }
  const sorted = Float64Array.from(values).sort()
  return { low: quantileOfSorted(sorted, 0.01), high: quantileOfSorted(sorted, 0.99) }
}

const median = (values: ReadonlyArray<number>) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

interface FittedMode {
  readonly pipeline: RiverPipeline
  readonly report: ResidualMode
  readonly warnings: ReadonlyArray<string>
}

const untrainedMode = (homes: ReadonlyArray<ModeRecords>, records: number, untrainedBecause: string): FittedMode => ({
  pipeline: neverAlarming({ kind: "StandardScaler", withStd: true, features: [] }),
  report: { heatpumps: homes.length, records, untrainedBecause, threshold: undefined, outdoorCelsius: undefined },
  warnings: []
})

const fitMode = (mode: Mode, sensors: ReadonlyArray<string>, all: ReadonlyArray<ModeRecords>): FittedMode => {
  const homes = all.filter(({ timestampsMs }) => timestampsMs.length >= fewestRecords)
  const records = homes.reduce((sum, { timestampsMs }) => sum + timestampsMs.length, 0)
  const days = median(homes.map(({ coveredDays }) => coveredDays))
  if (sensors.length < fewestSensors) {
    return untrainedMode(homes, records, `${sensors.length} usable sensors, ${fewestSensors} are needed`)
  }
  if (records < fewestModeRecords) {
    return untrainedMode(homes, records, `${records} complete records, ${fewestModeRecords} are needed`)
  }
  const typical = median(homes.map(({ timestampsMs }) => timestampsMs.length))
  if (typical < fewestMedianRecords) {
    return untrainedMode(homes, records, `${typical} records in most homes, ${fewestMedianRecords} are needed`)
  }
  if (days < fewestDays) {
    return untrainedMode(homes, records, `${days.toFixed(1)} days, ${fewestDays} are needed`)
  }
  const fitted = fitResidualModel(mode, sensors, homes)
  const isShort = homes.length < enoughHomes || days < enoughDays - daySlack
  const model: ResidualModel = isShort ? { ...fitted, threshold: fitted.threshold * widening } : fitted
  return {
    pipeline: residualPipeline(model),
    report: {
      heatpumps: homes.length,
      records,
      untrainedBecause: undefined,
      threshold: model.threshold,
      outdoorCelsius: outdoorRange(sensors, homes)
    },
    warnings: isShort
      ? [
          `${mode}: ${homes.length} ${homes.length === 1 ? "heat pump" : "heat pumps"} of ${days.toFixed(0)} days fitted; below ${enoughHomes} heat pumps or ${enoughDays} days the threshold is uncertain and was raised by ${Math.round((widening - 1) * 100)} %`
        ]
      : []
  }
}

/** `homes`: the records of each mode with the columns of `choice.sensors`; `heatpumps`: how many were looked at. */
export const trainResidual = (choice: SensorChoice, homes: ModeRecordsByMode, heatpumps: number): ResidualTraining => {
  const fitted = {
    heating: fitMode("heating", choice.sensors, homes.heating),
    cooling: fitMode("cooling", choice.sensors, homes.cooling),
    water: fitMode("water", choice.sensors, homes.water),
    standby: fitMode("standby", choice.sensors, homes.standby)
  }
  const seen = homes.heating.filter((_, i) => modes.some((mode) => homes[mode][i]!.timestampsMs.length > 0)).length
  const coldest = fitted.heating.report.outdoorCelsius?.low
  return {
    model: {
      heating: fitted.heating.pipeline,
      cooling: fitted.cooling.pipeline,
      water: fitted.water.pipeline,
      standby: fitted.standby.pipeline
    },
    choice,
    byMode: {
      heating: fitted.heating.report,
      cooling: fitted.cooling.report,
      water: fitted.water.report,
      standby: fitted.standby.report
    },
    warnings: [
      ...(choice.missing.length === 0
        ? []
        : [`fewer than 90 % of the heat pumps have ${choice.missing.join(", ")}: the model works without`]),
      ...(seen < heatpumps
        ? [
            `${heatpumps - seen} of ${heatpumps} heat pumps lack a sensor that the model uses and were not fitted; it may alarm there without reason`
          ]
        : []),
      ...modes.flatMap((mode) => fitted[mode].warnings),
      ...(coldest === undefined
        ? []
        : [
            `heating was trained down to ${coldest.toFixed(0)} °C outdoors: the first spell of colder weather may raise false alarms until the model is trained again with it`
          ])
    ]
  }
}
