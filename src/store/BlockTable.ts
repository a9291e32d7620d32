/**
 * The table of blocks in one SQLite file under `DATA_DIR`: what the embedded store keeps its samples in, and what the
 * journal of a time-series database is.
 *
 * Invariants:
 * - `append` is one transaction: all blocks or none, synced before it returns.
 * - A block is known by its installation and the digest of its lines; a known one is not stored again.
 * - Nothing is removed but by `remove`, a few blocks per transaction, so that all else gets its turn in between.
 * - No block of an erased installation is stored: looked at in the same turn of the event loop as the transaction.
 */
import { statfsSync, statSync } from "node:fs"
import { dirname } from "node:path"
import { Clock, Deferred, Duration, Effect, Option, Schedule, Schema, type Scope, type Stream } from "effect"
import type { Block } from "../domain/Block.js"
import { InstallationId } from "../domain/InstallationId.js"
import { eventLoopTurn } from "../eventLoopTurn.js"
import { Fatal } from "../Fatal.js"
import { readBlocks, type Select } from "./BlockRecords.js"
import { openErasures } from "./Erasures.js"
import { damagedFiles, deleteDamagedFiles, markSuspect, openIntact } from "./Intact.js"
import { prepareInsert } from "./insertBlock.js"
import { busyTimeoutMs, isDamage, isDiskFull, numberIn, pageBytes, type Sqlite, transaction } from "./Sqlite.js"
import {
  type Appended,
  type InstallationSummary,
  type StoredRecord,
  StoreError,
  StoreFull,
  type TimeRange,
  type Totals
} from "./Store.js"

export interface BlockTableOptions {
  readonly file: string
  /** Appends are refused while less is free on the file's disk. */
  readonly minFreeDiskBytes: number
}

/** Of one transaction that overwrites blocks or gives pages back: it takes that much of the log, and milliseconds. */
export const pageMaxBlocks = 100
const pageMaxBytes = 1_000_000
/** Of the log, where the reserve of the disk allows so much: it is written back at once when it is longer. */
const logMaxBytes = 16_000_000
/** Five seconds in all. */
const emptyLogAgain = Schedule.intersect(Schedule.spaced("200 millis"), Schedule.recurs(25))
const checkpointAfter = Duration.seconds(1)
const reclaimPages = Math.floor(pageMaxBytes / pageBytes)
/** Given back to the file system per second, 8 MB, while more than half of the pages are free. */
const reclaimPagesPerSecond = 500

const IdRow = Schema.Struct({ id: Schema.String })
const ModelRow = Schema.Struct({ model: Schema.String })
const ContactRow = Schema.Struct({ lastReceivedMs: Schema.Number })
const TotalsRow = Schema.Struct({
  installations: Schema.Number,
  blocks: Schema.Number,
  records: Schema.Number,
  samples: Schema.Number,
  lastReceivedMs: Schema.NullOr(Schema.Number)
})
const InstallationRow = Schema.Struct({
  id: Schema.String,
  lastReceivedMs: Schema.Number,
  records: Schema.Number,
  samples: Schema.Number
})
const OldestRow = Schema.Struct({ oldestMs: Schema.NullOr(Schema.Number) })

/** Selects the ids of a few of the blocks for which `condition` holds, one at least. */
export const pageOf = (condition: string): string =>
  `SELECT id FROM (SELECT id, sum(bytes) OVER (ROWS UNBOUNDED PRECEDING) - bytes AS bytesBefore
    FROM (SELECT id, length(gzipped_lines) AS bytes FROM block WHERE ${condition} LIMIT ${pageMaxBlocks}))
    WHERE bytesBefore < ${pageMaxBytes}`

export interface BlockTable {
  readonly append: (blocks: ReadonlyArray<Block>) => Effect.Effect<ReadonlyArray<Appended>, StoreFull | StoreError>
  /** Succeeds while the disk has room. */
  readonly ready: Effect.Effect<void, StoreFull | StoreError>
  readonly activeIds: (sinceMs: number) => Effect.Effect<ReadonlyArray<string>, StoreError>
  readonly lastContactMs: (installation: InstallationId) => Effect.Effect<Option.Option<number>, StoreError>
  readonly lastModel: (installation: InstallationId) => Effect.Effect<Option.Option<string>, StoreError>
  readonly totals: Effect.Effect<Totals, StoreError>
  readonly installations: Effect.Effect<ReadonlyArray<InstallationSummary>, StoreError>
  /** Of the samples that have not been drained. */
  readonly oldestMs: Effect.Effect<number | undefined, StoreError>
  /** Whether it has been erased. */
  readonly isErased: (installation: string) => boolean
  readonly damagedFiles: Effect.Effect<ReadonlyArray<string>, StoreError>
  readonly deleteDamagedFiles: Effect.Effect<void, StoreError>
  /** What has not been drained, in order of arrival. */
  readonly read: (installation: InstallationId, range?: TimeRange) => Stream.Stream<StoredRecord, StoreError>
  /** Removes the blocks for which `condition` holds, whose only parameter is `?`. Returns how many. */
  readonly remove: (condition: string, parameter: string | number) => Effect.Effect<number, StoreError>
  /**
   * Leaves no byte of the installation in the file or its log, and refuses what comes of it later. Returns the number
   * of blocks.
   */
  readonly erase: (installation: InstallationId) => Effect.Effect<number, StoreError>
  readonly select: Select
  /** One transaction. */
  readonly change: <A>(operation: string, body: (db: Sqlite) => A) => Effect.Effect<A, StoreError>
  /** Runs in the background for the life of the table, and again after a failure. */
  readonly upkeep: <R>(
    task: Effect.Effect<unknown, StoreError, R>,
    every: Schedule.Schedule<unknown>
  ) => Effect.Effect<void, never, R | Scope.Scope>
}

/** For the life of the scope; fails with `DatabaseUnusable` where the file is not ours, or cannot be used. */
export const openBlockTable = Effect.fn("BlockTable.open")(function* (options: BlockTableOptions) {
  const erasures = yield* openErasures(options.file)
  const db = yield* openIntact(options.file)
  const fatal = yield* Fatal
  const directory = dirname(options.file)
  const insert = prepareInsert(db)
  const grown = yield* Effect.makeLatch(true)

  /** Damage found while running ends the program: the next start checks the file and repairs it. */
  const reportDamage = (error: StoreError) =>
    Effect.gen(function* () {
      yield* markSuspect(options.file)
      if (!(yield* Deferred.fail(fatal, error))) return
      yield* Effect.logError("the store's file is damaged; ending, so that the next start repairs it", error.cause)
    }).pipe(Effect.when(() => isDamage(error.cause)))
  const attempt = <A>(operation: string, body: () => A) =>
    Effect.try({ try: body, catch: (cause) => new StoreError({ operation, cause }) }).pipe(
      Effect.tapError(reportDamage)
    )
  const select: Select = (operation, row, sql) => {
    const statement = db.prepare(sql)
    const decode = Schema.decodeUnknownSync(Schema.Array(row))
    return (...parameters) => attempt(operation, () => decode(statement.all([...parameters])))
  }
  const checkpoint = attempt("write its log back", () => db.pragma("wal_checkpoint(PASSIVE)"))
  const log = `${options.file}-wal`
  const longestLog = Math.min(logMaxBytes, options.minFreeDiskBytes / 2)
  const isLogLong = Effect.sync(() => (statSync(log, { throwIfNoEntry: false })?.size ?? 0) > longestLog)
  const change: BlockTable["change"] = (operation, body) =>
    grown.open.pipe(
      Effect.zipRight(attempt(operation, () => transaction(db, () => body(db)))),
      // What has been committed is so, whether or not the log can be written back now; upkeep reports why not.
      Effect.tap(Effect.whenEffect(Effect.ignore(checkpoint), isLogLong))
    )

  const findActive = select(
    "count active installations",
    IdRow,
    "SELECT id FROM installation WHERE last_received_ms >= ?"
  )
  const findContact = select(
    "look up an installation",
    ContactRow,
    "SELECT last_received_ms AS lastReceivedMs FROM installation WHERE id = ?"
  )
  const findModel = select(
    "look up an installation",
    ModelRow,
    "SELECT model FROM block WHERE installation_id = ? ORDER BY activity_at_ms DESC LIMIT 1"
  )
  const sumTotals = select(
    "sum up",
    TotalsRow,
    `SELECT count(*) AS installations, coalesce(sum(blocks), 0) AS blocks, coalesce(sum(records), 0) AS records,
     coalesce(sum(samples), 0) AS samples, max(last_received_ms) AS lastReceivedMs FROM installation`
  )
  const listInstallations = select(
    "list installations",
    InstallationRow,
    "SELECT id, last_received_ms AS lastReceivedMs, records, samples FROM installation ORDER BY id"
  )
  const findOldest = select(
    "find the oldest sample",
    OldestRow,
    "SELECT min(first_timestamp_ms) AS oldestMs FROM block WHERE drained_at_ms IS NULL"
  )
  const full = (reason: string) =>
    new StoreFull({ detail: `Not stored: ${reason}. Please retry later`, retryAfterSeconds: 300 })

  const ready = Effect.flatMap(
    attempt("measure the free disk space", () => statfsSync(directory)),
    ({ bavail, bsize }) =>
      bavail * bsize < options.minFreeDiskBytes ? full("the server's disk is nearly full") : Effect.void
  )

  const append = Effect.fn("BlockTable.append")(function* (blocks: ReadonlyArray<Block>) {
    yield* ready
    const receivedAtMs = yield* Clock.currentTimeMillis
    return yield* change("append", () =>
      blocks.map((block) => (erasures.has(block.installationId) ? "erased" : insert(block, receivedAtMs)))
    ).pipe(Effect.mapError((error) => (isDiskFull(error.cause) ? full("the server's disk is full") : error)))
  })

  const totals = Effect.gen(function* () {
    const [row] = yield* sumTotals()
    const bytesOnDisk = yield* attempt("measure its size", () =>
      ["", "-wal"].reduce(
        (sum, suffix) => sum + (statSync(options.file + suffix, { throwIfNoEntry: false })?.size ?? 0),
        0
      )
    )
    return { ...row!, lastReceivedMs: row!.lastReceivedMs ?? undefined, bytesOnDisk }
  })

  const remove = Effect.fn("BlockTable.remove")(function* (condition: string, parameter: string | number) {
    const query = `DELETE FROM block WHERE id IN (${pageOf(condition)}) RETURNING id`
    let removed = 0
    while (true) {
      const { length } = yield* change("remove blocks", (db) => db.prepare(query).all([parameter]))
      removed += length
      if (length === 0) return removed
      yield* eventLoopTurn
    }
  })

  const freePages = () => numberIn(db, "PRAGMA freelist_count")
  const isMostlyFree = attempt("count its free pages", () => 2 * freePages() > numberIn(db, "PRAGMA page_count"))
  const reclaim = Effect.fn("BlockTable.reclaim")(function* (mostPages: number) {
    const pages = Math.min(mostPages, yield* attempt("count its free pages", freePages))
    for (let done = 0; done < pages; done += reclaimPages) {
      yield* change("reclaim space", (db) => db.pragma(`incremental_vacuum(${Math.min(reclaimPages, pages - done)})`))
      yield* eventLoopTurn
    }
  })

  /** Once a second while there is something to write back; an idle store sleeps. */
  const checkpointWhenGrown = grown.await.pipe(
    Effect.zipRight(Effect.sleep(checkpointAfter)),
    Effect.zipRight(grown.close),
    Effect.zipRight(Effect.zipRight(reclaim(reclaimPagesPerSecond), grown.open).pipe(Effect.whenEffect(isMostlyFree))),
    Effect.zipRight(checkpoint),
    Effect.tapError(() => grown.open)
  )

  /** The log still holds what was erased. Another program that reads the file meanwhile, a backup say, keeps it so. */
  const emptyLog = attempt("overwrite what was erased", () => {
    db.pragma("busy_timeout = 0")
    try {
      const [{ busy }] = decodeCheckpoint(db.prepare("PRAGMA wal_checkpoint(TRUNCATE)").all())
      if (busy !== 0) throw new Error("another program is reading the store; erase again when it has ended")
    } finally {
      db.pragma(`busy_timeout = ${busyTimeoutMs}`)
    }
  }).pipe(Effect.retry(emptyLogAgain))

  const erase = Effect.fn("BlockTable.erase")(function* (installation: InstallationId) {
    yield* erasures.add(installation)
    const removed = yield* remove("installation_id = ?", installation)
    // Deleting has overwritten it (`secure_delete`): with the log empty, no byte of it is left.
    yield* emptyLog
    yield* Effect.zipRight(reclaim(Number.POSITIVE_INFINITY), emptyLog).pipe(
      Effect.catchAll((error) => Effect.logWarning("erased, but not all of its space could be given back yet", error))
    )
    return removed
  })

  /** Tried again at its next turn: neither a full disk nor a mistake of ours may end it in silence. */
  const upkeep: BlockTable["upkeep"] = (task, every) =>
    task.pipe(
      Effect.catchAllCause((cause) => Effect.logError("the store's upkeep failed; trying again later", cause)),
      Effect.repeat(every),
      Effect.forkScoped,
      Effect.asVoid
    )
  yield* upkeep(checkpointWhenGrown, Schedule.forever)

  /** A restored backup is as old as it is. */
  const eraseAgain = Effect.gen(function* () {
    for (const { id } of yield* listInstallations()) {
      if (!erasures.has(id)) continue
      yield* erase(yield* Schema.decode(InstallationId)(id).pipe(Effect.orDie))
      yield* Effect.logWarning("erased a home again that a restored backup had brought back")
    }
  })
  yield* eraseAgain

  const table: BlockTable = {
    append,
    ready,
    activeIds: (sinceMs) => Effect.map(findActive(sinceMs), (rows) => rows.map(({ id }) => id)),
    lastContactMs: (installation) =>
      Effect.map(findContact(installation), ([row]) => Option.map(Option.fromNullable(row), (r) => r.lastReceivedMs)),
    lastModel: (installation) =>
      Effect.map(findModel(installation), ([row]) => Option.map(Option.fromNullable(row), ({ model }) => model)),
    totals,
    installations: listInstallations(),
    oldestMs: Effect.map(findOldest(), ([row]) => row?.oldestMs ?? undefined),
    isErased: erasures.has,
    damagedFiles: attempt("list damaged files", () => damagedFiles(options.file)),
    deleteDamagedFiles: attempt("delete damaged files", () => deleteDamagedFiles(options.file)),
    read: readBlocks(select),
    remove,
    erase,
    select,
    change,
    upkeep
  }
  return table
})

const decodeCheckpoint = Schema.decodeUnknownSync(Schema.Tuple(Schema.Struct({ busy: Schema.Number })))
