/** The records of one home, a column per field: what training and evaluation work on. */
export interface HomeRecords {
  readonly installationId: string
  /** Ascending, one per record. */
  readonly timestampsMs: Float64Array
  /** As stored, markers of absent probes included; NaN where the record has no such field. */
  readonly columns: ReadonlyMap<string, Float64Array>
}

/** The records from `from` to before `to`, on the same memory. */
export const recordsBetween = (home: HomeRecords, from: number, to: number): HomeRecords => ({
  installationId: home.installationId,
  timestampsMs: home.timestampsMs.subarray(from, to),
  columns: new Map(Array.from(home.columns, ([name, values]) => [name, values.subarray(from, to)]))
})

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
