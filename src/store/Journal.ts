/**
 * The table of blocks as a queue in front of a time-series database.
 *
 * Invariants:
 * - An accepted block is waiting, or quarantined, or was confirmed: nothing else takes its lines away, and nothing is
 *   dropped to make room. A full journal refuses.
 * - `next` gives waiting blocks in order of arrival, which is that of their ids; a block waits until it is confirmed.
 * - The digest of a confirmed block is kept for `digestsKept`, so that a batch that comes again is still a duplicate.
 * - What `held` says equals what is in the file.
 */
import { Clock, Context, Duration, Effect, Layer, Schedule, Schema } from "effect"
import type { Block } from "../domain/Block.js"
import type { InstallationId } from "../domain/InstallationId.js"
import { eventLoopTurn } from "../eventLoopTurn.js"
import { Blob } from "./BlockRecords.js"
import { type BlockTable, type BlockTableOptions, openBlockTable, pageMaxBlocks, pageOf } from "./BlockTable.js"
import { type StoreError, StoreFull } from "./Store.js"

export interface JournalOptions extends BlockTableOptions {
  /** Bytes of compressed blocks that may wait or be in quarantine. */
  readonly maxBytes: number
}

/** A block on its way to the database. */
export interface WaitingBlock {
  readonly id: number
  readonly installationId: string
  /** Unix milliseconds; no two blocks of an installation have the same. */
  readonly activityAtMs: number
  readonly records: number
  readonly samples: number
  readonly gzippedLines: Uint8Array
}

const BlockSums = Schema.Struct({ blocks: Schema.Number, records: Schema.Number, samples: Schema.Number })
export type BlockSums = typeof BlockSums.Type
const QuarantineRow = Schema.Struct({ reason: Schema.String, blocks: Schema.Number, samples: Schema.Number })

const InstallationSums = Schema.Struct({ id: Schema.String, records: Schema.Number, samples: Schema.Number })
type JournalExtras = "installations" | "isErased" | "damagedFiles" | "deleteDamagedFiles"

export class Journal extends Context.Tag("telemetry/store/Journal")<
  Journal,
  Pick<
    BlockTable,
    "append" | "ready" | "activeIds" | "lastContactMs" | "lastModel" | "totals" | "read" | JournalExtras
  > & {
    /** This collector's name in the database: one per journal, so that several collectors count side by side. */
    readonly collector: string
    readonly maxBytes: number
    /** Compressed bytes that wait or are in quarantine. */
    readonly heldBytes: () => number
    /** Waiting blocks after `afterId`; their lines may come from the disk. */
    readonly next: (afterId: number, limit: number) => Effect.Effect<ReadonlyArray<WaitingBlock>, StoreError>
    /** Returns once something may wait that did not when it was last called. */
    readonly arrival: Effect.Effect<void>
    /** The database will not lose these any more. */
    readonly confirm: (ids: ReadonlyArray<number>) => Effect.Effect<void, StoreError>
    readonly quarantine: (id: number, reason: string) => Effect.Effect<void, StoreError>
    readonly resendQuarantined: Effect.Effect<number, StoreError>
    readonly quarantined: Effect.Effect<ReadonlyArray<typeof QuarantineRow.Type>, StoreError>
    /** Grows when blocks that have been read may no longer be sent, or earlier ones are to be sent again. */
    readonly revision: () => number
    /** All that is unconfirmed is to be sent again. */
    readonly again: Effect.Effect<void>
    /** One at a time: sending on the one side, erasing on the other. */
    readonly exclusively: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Waiting blocks after `afterId`. */
    readonly waiting: (afterId: number) => Effect.Effect<BlockSums & { readonly bytes: number }, StoreError>
    /** The longest waiting block after `afterId`. */
    readonly oldest: (
      afterId: number
    ) => Effect.Effect<{ readonly receivedAtMs: number; readonly activityAtMs: number } | undefined, StoreError>
    /** Blocks whose activity is at or after `sinceMs`, confirmed ones included, and all that are in quarantine. */
    readonly activity: (sinceMs: number, installation?: InstallationId) => Effect.Effect<BlockSums, StoreError>
    /** The same by installation. */
    readonly activityByInstallation: (
      sinceMs: number
    ) => Effect.Effect<ReadonlyArray<typeof InstallationSums.Type>, StoreError>
    readonly erase: (installation: InstallationId) => Effect.Effect<void, StoreError>
  }
>() {
  static readonly layer = (options: JournalOptions) => Layer.scoped(this, make(options))
}

const digestsKept = Duration.days(30)
const forgetEvery = Schedule.spaced("1 hour")
const fullRetrySeconds = 300
/** Of the capacity: beyond it a large submission may not fit, and a load balancer better asks another collector. */
const readyShare = 0.99

const WaitingRow = Schema.Struct({
  id: Schema.Number,
  installationId: Schema.String,
  activityAtMs: Schema.Number,
  records: Schema.Number,
  samples: Schema.Number,
  gzippedLines: Blob
})
const WaitingSums = Schema.Struct({ ...BlockSums.fields, bytes: Schema.Number })
const OldestRow = Schema.Struct({ receivedAtMs: Schema.Number, activityAtMs: Schema.Number })
const BytesRow = Schema.Struct({ bytes: Schema.Number })
const decodeFreed = Schema.decodeUnknownSync(
  Schema.Tuple(Schema.Struct({ blocks: Schema.Number, bytes: Schema.Number }))
)
const IdRow = Schema.Struct({ id: Schema.String })

const isWaiting = "drained_at_ms IS NULL AND quarantined_because IS NULL"
const sums = "count(*) AS blocks, coalesce(sum(records), 0) AS records, coalesce(sum(samples), 0) AS samples"
const bytes = "coalesce(sum(length(gzipped_lines)), 0) AS bytes"
const isActive = "(activity_at_ms >= ? OR quarantined_because IS NOT NULL)"

const make = Effect.fn("Journal.make")(function* (options: JournalOptions) {
  const table = yield* openBlockTable(options)
  const { change, select } = table
  const [named] = yield* select("find its name", IdRow, "SELECT id FROM collector")()
  const sumHeld = select(
    "sum up what it holds",
    BytesRow,
    `SELECT sum(bytes) AS bytes FROM (SELECT ${bytes} FROM block WHERE ${isWaiting}
     UNION ALL SELECT ${bytes} FROM block WHERE quarantined_because IS NOT NULL AND drained_at_ms IS NULL)`
  )
  const sumWaiting = select(
    "sum up what waits",
    WaitingSums,
    `SELECT ${sums}, ${bytes} FROM block WHERE ${isWaiting} AND id > ?`
  )
  const findOldest = select(
    "find the oldest block",
    OldestRow,
    `SELECT received_at_ms AS receivedAtMs, activity_at_ms AS activityAtMs FROM block
     WHERE ${isWaiting} AND id > ? ORDER BY id LIMIT 1`
  )
  const readNext = select(
    "read what waits",
    WaitingRow,
    `SELECT id, installation_id AS installationId, activity_at_ms AS activityAtMs, records, samples,
     gzipped_lines AS gzippedLines FROM block WHERE ${isWaiting} AND id > ? ORDER BY id LIMIT ?`
  )
  const readQuarantine = select(
    "list the quarantine",
    QuarantineRow,
    `SELECT quarantined_because AS reason, count(*) AS blocks, sum(samples) AS samples FROM block
     WHERE quarantined_because IS NOT NULL GROUP BY quarantined_because ORDER BY blocks DESC`
  )
  const sumActivity = select("sum up activity", BlockSums, `SELECT ${sums} FROM block WHERE ${isActive}`)
  const sumActivityOf = select(
    "sum up activity",
    BlockSums,
    `SELECT ${sums} FROM block WHERE ${isActive} AND installation_id = ?`
  )
  const sumActivityByInstallation = select(
    "sum up activity",
    InstallationSums,
    `SELECT installation_id AS id, sum(records) AS records, sum(samples) AS samples FROM block
     WHERE ${isActive} GROUP BY installation_id`
  )

  const measure = Effect.map(sumHeld(), ([row]) => row!.bytes)
  let heldBytes = yield* measure
  const arrived = yield* Effect.makeLatch(true)
  const sending = yield* Effect.makeSemaphore(1)
  let revision = 0
  const again = Effect.zipRight(
    Effect.sync(() => {
      revision++
    }),
    arrived.open
  )

  const append = Effect.fn("Journal.append")(function* (blocks: ReadonlyArray<Block>) {
    const size = blocks.reduce((sum, { gzippedLines }) => sum + gzippedLines.length, 0)
    if (heldBytes + size > options.maxBytes) return yield* journalFull()
    const appended = yield* table.append(blocks)
    blocks.forEach((block, i) => {
      if (appended[i] === "stored") heldBytes += block.gzippedLines.length
    })
    yield* arrived.open
    return appended
  })

  const next = (afterId: number, limit: number) =>
    Effect.map(readNext(afterId, limit), (rows) =>
      rows.map((row): WaitingBlock => ({ ...row, gzippedLines: new Uint8Array(row.gzippedLines) }))
    )

  const confirm = Effect.fn("Journal.confirm")(function* (ids: ReadonlyArray<number>) {
    const nowMs = yield* Clock.currentTimeMillis
    for (let start = 0; start < ids.length; start += pageMaxBlocks) {
      const some = ids.slice(start, start + pageMaxBlocks)
      const page = pageOf(`id IN (${some.join()}) AND drained_at_ms IS NULL`)
      let confirmed: number
      do {
        const [freed] = yield* change("confirm blocks", (db) => {
          const freed = db.prepare(`SELECT count(*) AS blocks, ${bytes} FROM block WHERE id IN (${page})`).all()
          db.prepare(`UPDATE block SET gzipped_lines = x'', drained_at_ms = ? WHERE id IN (${page})`).run([nowMs])
          return decodeFreed(freed)
        })
        heldBytes -= freed.bytes
        confirmed = freed.blocks
        yield* eventLoopTurn
      } while (confirmed > 0)
    }
  })

  const quarantine = (id: number, reason: string) =>
    change("quarantine a block", (db) =>
      db.prepare("UPDATE block SET quarantined_because = ? WHERE id = ?").run([reason, id])
    )

  const resendQuarantined = change(
    "send quarantined blocks again",
    (db) =>
      db.prepare("UPDATE block SET quarantined_because = NULL WHERE quarantined_because IS NOT NULL").run([]).changes
  ).pipe(Effect.zipLeft(again))

  const erase = Effect.fn("Journal.erase")(function* (installation: InstallationId) {
    yield* table.erase(installation)
    // After the deletion: what was read before it is not sent any more.
    yield* again
    heldBytes = yield* measure
  })

  const forgetDigests = Effect.gen(function* () {
    const nowMs = yield* Clock.currentTimeMillis
    yield* table.remove("drained_at_ms < ?", nowMs - Duration.toMillis(digestsKept))
  })
  yield* table.upkeep(forgetDigests, forgetEvery)

  return Journal.of({
    append,
    ready: Effect.zipRight(
      table.ready,
      Effect.suspend(() => (heldBytes > options.maxBytes * readyShare ? journalFull() : Effect.void))
    ),
    activeIds: table.activeIds,
    lastContactMs: table.lastContactMs,
    lastModel: table.lastModel,
    totals: table.totals,
    read: table.read,
    collector: named!.id,
    maxBytes: options.maxBytes,
    heldBytes: () => heldBytes,
    next,
    arrival: Effect.zipRight(arrived.await, arrived.close),
    revision: () => revision,
    again,
    exclusively: sending.withPermits(1),
    confirm,
    quarantine,
    resendQuarantined,
    quarantined: readQuarantine(),
    waiting: (afterId) => Effect.map(sumWaiting(afterId), ([row]) => row!),
    oldest: (afterId) => Effect.map(findOldest(afterId), ([row]) => row),
    activity: (sinceMs, installation) =>
      Effect.map(
        installation === undefined ? sumActivity(sinceMs) : sumActivityOf(sinceMs, installation),
        ([row]) => row!
      ),
    activityByInstallation: (sinceMs) => sumActivityByInstallation(sinceMs),
    installations: table.installations,
    isErased: table.isErased,
    damagedFiles: table.damagedFiles,
    deleteDamagedFiles: table.deleteDamagedFiles,
    erase
  })
})

const journalFull = () =>
  new StoreFull({
    detail:
      "Not stored: the server's journal is full, because its database does not take what waits. Please retry later",
    retryAfterSeconds: fullRetrySeconds
  })
