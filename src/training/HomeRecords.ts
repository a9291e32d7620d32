import type { InstallationRecords } from "./InstallationRecords.js"
import { lookBackMs } from "./ServiceLoop.js"

/** What evaluation and the residual model need of a heat pump; two in one home are two of these. */
export type HomeRecords = Omit<InstallationRecords, "heatpumpId">

/** The first record at or after a time. */
export const indexAt = (timestampsMs: Float64Array, timeMs: number): number => {
  let low = 0
  let high = timestampsMs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (timestampsMs[middle]! < timeMs) low = middle + 1
    else high = middle
  }
  return low
}

export const dayMs = 86_400_000

/** From the first to the last record. */
export const spanDays = ({ timestampsMs }: HomeRecords): number =>
  timestampsMs.length === 0 ? 0 : (timestampsMs.at(-1)! - timestampsMs[0]!) / dayMs

/** The time during which the service sees something of a home, whatever the mode: a gap is not time. */
export const coveredDays = ({ timestampsMs }: HomeRecords): number => {
  let coveredMs = 0
  for (let i = 1; i < timestampsMs.length; i++) {
    coveredMs += Math.min(timestampsMs[i]! - timestampsMs[i - 1]!, lookBackMs)
  }
  return coveredMs / dayMs
}

/** A home's records before a share of the time from its first record to its last has passed. */
export const earlier = (home: HomeRecords, share: number): HomeRecords => {
  const { columns, timestampsMs } = home
  if (share >= 1 || timestampsMs.length === 0) return home
  const end = indexAt(timestampsMs, timestampsMs[0]! + share * spanDays(home) * dayMs)
  return {
    ...home,
    timestampsMs: timestampsMs.subarray(0, end),
    columns: new Map(Array.from(columns, ([name, values]) => [name, values.subarray(0, end)]))
  }
}
