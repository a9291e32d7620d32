import { Context, Effect, Layer } from "effect"
import type { StoreError } from "./Store.js"

/** What has been accepted and is not yet safe in the database behind the store. */
export interface BacklogReport {
  readonly waitingBlocks: number
  readonly waitingSamples: number
  readonly oldestWaitingMs: number | undefined
  /** Accepted by the database, which may still lose them in a crash: kept until it cannot. */
  readonly settlingBlocks: number
  /** Refused by the database; kept until they are sent again. */
  readonly quarantined: ReadonlyArray<{ readonly reason: string; readonly blocks: number; readonly samples: number }>
  /** Compressed bytes of all of these, and how many there may be. */
  readonly bytes: number
  readonly maxBytes: number
  readonly drainedSamplesPerSecond: number
  /** At the pace of the last minute; undefined when it does not grow. */
  readonly fullInSeconds: number | undefined
  /** The last time the database did not do what it was asked. */
  readonly lastError:
    | {
        readonly atMs: number
        /** The first time since it had last taken a write. */
        readonly sinceMs: number
        readonly sentence: string
        /** It has taken a write since. */
        readonly isOver: boolean
      }
    | undefined
}

export class Backlog extends Context.Tag("telemetry/store/Backlog")<
  Backlog,
  {
    /** Undefined where there is no database behind the store. */
    readonly report: Effect.Effect<BacklogReport | undefined, StoreError>
    /** Sends quarantined blocks again. Returns their number. */
    readonly resendQuarantined: Effect.Effect<number, StoreError>
  }
>() {
  static readonly layerNone = Layer.succeed(this, {
    report: Effect.succeed(undefined),
    resendQuarantined: Effect.succeed(0)
  })
}
