/**
 * A stratified sample of one heat pump's measurements: per mode at most `share` records, spread over its whole time.
 *
 * The records of a mode, in order of time, are cut into `share` strata of equal size, and of each one record is drawn.
 * The draw depends on the seed and the heat pump, on nothing else: no other installation, no order of arrival. What a
 * record changed against the one before it is kept beside it, since its neighbours are not in the sample.
 */
import { modes, statusSensor } from "../domain/Mode.js"
import type { InstallationRecords } from "./InstallationRecords.js"
import { MersenneTwister } from "./MersenneTwister.js"
import { modesOfRecords } from "./ModesOfRecords.js"

/** A value per sampled record. */
interface SampledColumn {
  readonly values: Float64Array
  /** The last measurement before the record's own, in whatever mode; NaN when there was none. */
  readonly previous: Float64Array
}

export interface SampledMode {
  readonly timestampsMs: Float64Array
  /** Of the record before; NaN for the first. */
  readonly previousMs: Float64Array
  readonly columns: ReadonlyMap<string, SampledColumn>
}

/** By position in `modes`. */
export type SampledRecords = ReadonlyArray<SampledMode>

interface SamplingOptions {
  /** Records per mode. */
  readonly share: number
  readonly seed: number
}

/** FNV-1a, 32 bits: http://www.isthe.com/chongo/tech/comp/fnv/ */
export const hash = (text: string): number => {
  let state = 0x811c9dc5
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193)
  return state >>> 0
}

/** The positions in `rows` of one draw from each of `share` strata. */
const draw = (rows: Uint32Array, share: number, random: MersenneTwister): Uint32Array => {
  if (rows.length <= share) return rows
  return Uint32Array.from({ length: share }, (_, stratum) => {
    const from = Math.floor((stratum * rows.length) / share)
    const until = Math.floor(((stratum + 1) * rows.length) / share)
    return rows[from + Math.floor(random.random() * (until - from))]!
  })
}

/** `records` holds measurements: see `Measurements`. */
export const sampleRecords = (records: InstallationRecords, { seed, share }: SamplingOptions): SampledRecords => {
  const { columns, timestampsMs } = records
  const codes = modesOfRecords(records)
  const identity = `${records.installationId} ${records.heatpumpId ?? ""}`
  return modes.map((mode, code) => {
    const all = new Uint32Array(codes.length)
    let count = 0
    for (let i = 0; i < codes.length; i++) if (codes[i] === code) all[count++] = i
    const random = new MersenneTwister(hash(`${seed} ${mode} ${identity}`))
    const rows = draw(all.subarray(0, count), share, random)
    return {
      timestampsMs: Float64Array.from(rows, (row) => timestampsMs[row]!),
      previousMs: Float64Array.from(rows, (row) => timestampsMs[row - 1] ?? Number.NaN),
      columns: new Map(
        [...columns]
          // It is what tells the modes apart, and within one it says nothing.
          .filter(([name]) => name !== statusSensor)
          .map(([name, values]) => [name, sampleColumn(values, rows)])
      )
    }
  })
}

/** `rows` ascend. */
const sampleColumn = (values: Float64Array, rows: Uint32Array): SampledColumn => {
  const previous = new Float64Array(rows.length)
  let last = Number.NaN
  let at = 0
  rows.forEach((row, k) => {
    for (; at < row; at++) if (!Number.isNaN(values[at])) last = values[at]!
    previous[k] = last
  })
  return { values: Float64Array.from(rows, (row) => values[row]!), previous }
}

/** What was sampled before a share of the heat pump's time had passed. */
export const earlierSample = (records: SampledRecords, share: number): SampledRecords => {
  const times = records.flatMap(({ timestampsMs }) => [...timestampsMs.subarray(0, 1), ...timestampsMs.subarray(-1)])
  const firstMs = Math.min(...times)
  const untilMs = firstMs + share * (Math.max(...times) - firstMs)
  return records.map(({ columns, previousMs, timestampsMs }) => {
    const next = timestampsMs.findIndex((timeMs) => timeMs >= untilMs)
    const end = next < 0 ? timestampsMs.length : next
    return {
      timestampsMs: timestampsMs.subarray(0, end),
      previousMs: previousMs.subarray(0, end),
      columns: new Map(
        Array.from(columns, ([name, { previous, values }]) => [
          name,
          { values: values.subarray(0, end), previous: previous.subarray(0, end) }
        ])
      )
    }
  })
}
