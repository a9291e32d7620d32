/** The records of one heat pump in one operating mode that a linear model can be fitted to. */
import { type Mode, modeOfStatus, statusSensor } from "../domain/Mode.js"
import type { HomeRecords } from "./HomeRecords.js"
import { MersenneTwister } from "./MersenneTwister.js"
import { hash } from "./Sampling.js"

export interface ModeRecords {
  readonly installationId: string
  /** Of the home, whatever the mode, and however many of the records are kept. */
  readonly coveredDays: number
  /** Of the mode's records, those that are kept here: alarms are counted per this share of the days. */
  readonly keptShare: number
  readonly timestampsMs: Float64Array
  /** A row per record, complete: every value a finite one within its physical range. */
  readonly values: Float64Array
}

/** Both ends belong to it. Wider than anything a heat pump does, narrower than what the registry lets in. */
export interface PhysicalRange {
  readonly low: number
  readonly high: number
}

/** Of a sensor that a residual model may use: kW of the two powers, °C of everything else. */
export const physicalRange = (sensor: string): PhysicalRange => {
  if (sensor === "power_current") return { low: -0.5, high: 40 }
  if (sensor === "power_thermal") return { low: -30, high: 60 }
  return { low: -45, high: 95 }
}

/**
 * The complete records of a mode. `home` holds measurements (`Measurements`); `checksRange` false keeps what no heat
 * pump can show, for tests that prove what the check is worth.
 */
export const modeRecords = (
  home: HomeRecords,
  mode: Mode,
  sensors: ReadonlyArray<string>,
  coveredDays: number,
  checksRange = true
): ModeRecords => {
  const status = home.columns.get(statusSensor)
  const columns = sensors.map((sensor) => home.columns.get(sensor))
  const ranges = sensors.map(physicalRange)
  const width = sensors.length
  const count = home.timestampsMs.length
  const kept = new Float64Array(count)
  const values = new Float64Array(count * width)
  let rows = 0
  records: for (let i = 0; i < count; i++) {
    const state = status?.[i]
    if (state === undefined || Number.isNaN(state) || modeOfStatus(state) !== mode) continue
    for (let k = 0; k < width; k++) {
      const value = columns[k]?.[i] ?? Number.NaN
      if (!Number.isFinite(value)) continue records
      if (checksRange && (value < ranges[k]!.low || value > ranges[k]!.high)) continue records
      values[rows * width + k] = value
    }
    kept[rows++] = home.timestampsMs[i]!
  }
  return {
    installationId: home.installationId,
    coveredDays,
    keptShare: 1,
    timestampsMs: kept.slice(0, rows),
    values: values.slice(0, rows * width)
  }
}

const blockRecords = 2_880

/**
 * At most `most` records, as blocks of two days' records spread evenly. Where the first begins is each home's own, so
 * that homes with a block or two still cover every season together.
 */
export const thinned = (records: ModeRecords, most: number): ModeRecords => {
  const count = records.timestampsMs.length
  if (count <= most) return records
  const width = records.values.length / count
  const blocks = Math.max(1, Math.floor(most / blockRecords))
  const size = Math.min(blockRecords, most)
  const phase = new MersenneTwister(hash(records.installationId)).random()
  const starts = Array.from({ length: blocks }, (_, b) => Math.floor(((b + phase) * count) / blocks))
  // What of the last block lies beyond the end is taken from the beginning: every record is kept as often as any other.
  const beyond = Math.max(0, starts.at(-1)! + size - count)
  const timestampsMs = new Float64Array(blocks * size)
  const values = new Float64Array(blocks * size * width)
  let rows = 0
  const keep = (start: number, end: number) => {
    timestampsMs.set(records.timestampsMs.subarray(start, end), rows)
    values.set(records.values.subarray(start * width, end * width), rows * width)
    rows += end - start
  }
  keep(0, beyond)
  for (const start of starts) keep(start, Math.min(start + size, count))
  return { ...records, keptShare: rows / count, timestampsMs, values }
}
