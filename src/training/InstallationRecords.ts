/**
 * Everything known of one heat pump, in columns: what training samples, and what evaluation replays.
 * In the flat shape a home is one heat pump without an id; in the nested shape each of its heat pumps has its own.
 */
export interface InstallationRecords {
  readonly installationId: string
  readonly heatpumpId: string | undefined
  /** Ascending and distinct. */
  readonly timestampsMs: Float64Array
  /** By sensor, as stored, unchecked; `values[i]` belongs to `timestampsMs[i]`, NaN is missing. */
  readonly columns: ReadonlyMap<string, Float64Array>
}

/**
 * A record made less than this after another says nothing new: loggers write every 60 s, in their live view every 1 s.
 */
export const slotMs = 10_000
