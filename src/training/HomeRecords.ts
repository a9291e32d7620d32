import type { InstallationRecords } from "./InstallationRecords.js"

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
