/** What an answer of VictoriaMetrics means for the one who asked. */
import { Data } from "effect"

/** The database did not do what it was asked, through no fault of what was sent: later it may. */
export class DatabaseUnavailable extends Data.TaggedError("DatabaseUnavailable")<{
  readonly operation: string
  readonly reason: string
  /** What the answer asked for. */
  readonly retryAfterSeconds?: number | undefined
}> {
  override get message() {
    return `the database did not ${this.operation}: ${this.reason}`
  }
}

/** The database read what was sent and will never take it. */
export class WriteRefused extends Data.TaggedError("WriteRefused")<{ readonly status: number }> {
  override get message() {
    return `refused by the database with status ${this.status}`
  }
}

/**
 * The retry table: what becomes of the blocks of a write, by the status of its answer.
 *
 * | answer                                | blocks                                                             |
 * |---------------------------------------|--------------------------------------------------------------------|
 * | 2xx                                   | accepted                                                           |
 * | 400, 413, 422                         | refused: halved until one is left, which goes into quarantine      |
 * | any other (401, 403, 404, 429, 5xx …) | wait: nothing is wrong with them; `Retry-After` wins over back-off |
 * | none, half of one, a broken connection | wait                                                              |
 *
 * A database that refuses even an empty write is set up wrong, and its blocks wait (`pipeline/Drain`).
 */
export const verdictOf = (status: number): "accepted" | "refused" | "unavailable" => {
  if (status >= 200 && status < 300) return "accepted"
  return status === 400 || status === 413 || status === 422 ? "refused" : "unavailable"
}

/** Seconds that a `Retry-After` header asks for, in either of its forms (RFC 9110, 10.2.3). */
export const retryAfterSeconds = (header: string | undefined, nowMs: number): number | undefined => {
  if (header === undefined) return undefined
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - nowMs) / 1000
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined
}
