/** Blocks that the database has taken and may still lose. */
import type { Acceptance, Instance } from "../store/VictoriaMetrics.js"

/** Blocks that one request put into the database. */
export interface Settling {
  readonly ids: ReadonlyArray<number>
  readonly acceptance: Acceptance
  readonly acceptedAtMs: number
  /** What was known of the database then. */
  readonly known: Instance | undefined
  readonly breaks: number
}

/** Whether a database may have lost what it had accepted. */
export const mayHaveLost = (
  now: Instance,
  breaks: number,
  { acceptance, breaks: breaksThen, known }: Settling
): boolean => {
  if (now.clusterErrors > (known?.clusterErrors ?? 0)) return true
  if (now.startedAtSeconds === undefined) return breaks !== breaksThen
  const isKnownStart = now.startedAtSeconds === known?.startedAtSeconds
  // Both are whole seconds: within the same one, only a broken connection tells a second start from the first.
  return now.startedAtSeconds >= acceptance.atSeconds && (!isKnownStart || breaks !== breaksThen)
}
