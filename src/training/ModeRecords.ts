/** The records of one heat pump in one operating mode that a linear model can be fitted to. */
import { type Mode, modeOfStatus, statusSensor } from "../domain/Mode.js"
import type { HomeRecords } from "./HomeRecords.js"

export interface ModeRecords {
  readonly installationId: string
  /** From its first record to its last, whatever the mode: what alarms are counted per. */
  readonly spanDays: number
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
  spanDays: number,
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
    spanDays,
    timestampsMs: kept.slice(0, rows),
    values: values.slice(0, rows * width)
  }
}

const blockRecords = 2_880

/** At most about `most` records, as blocks of two days' records spread evenly, so that every season keeps its share. */
export const thinned = (records: ModeRecords, most: number): ModeRecords => {
  const count = records.timestampsMs.length
  if (count <= most) return records
  const width = records.values.length / count
  const blocks = Math.max(1, Math.floor(most / blockRecords))
  const size = Math.min(blockRecords, most)
  const starts = Array.from({ length: blocks }, (_, b) => Math.floor((b * (count - size)) / Math.max(1, blocks - 1)))
  const timestampsMs = new Float64Array(blocks * size)
  const values = new Float64Array(blocks * size * width)
  for (const [b, start] of starts.entries()) {
    timestampsMs.set(records.timestampsMs.subarray(start, start + size), b * size)
    values.set(records.values.subarray(start * width, (start + size) * width), b * size * width)
  }
  // Alarms are counted per week of what is left.
  return { ...records, spanDays: (records.spanDays * blocks * size) / count, timestampsMs, values }
}
