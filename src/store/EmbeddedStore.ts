import { statfsSync, statSync } from "node:fs"
import { dirname } from "node:path"
import { promisify } from "node:util"
import { gunzip } from "node:zlib"
import { Chunk, Clock, Duration, Effect, Layer, Option, Schedule, Schema, Stream } from "effect"
import type { Block } from "../domain/Block.js"
import type { InstallationId } from "../domain/InstallationId.js"
import { readLines } from "./BlockReader.js"
import { busyTimeoutMs, isDiskFull, openSqlite, type Sqlite, transaction } from "./Sqlite.js"
import { type Appended, Store, StoreError, StoreFull, type TimeRange } from "./Store.js"

export interface EmbeddedStoreOptions {
  readonly file: string
  /** Blocks whose last sample is older are removed. */
  readonly retention: Duration.Duration
  /** Appends are refused while less is free on the file's disk. */
  readonly minFreeDiskBytes: number
}

const gunzipAsync = promisify(gunzip)

/** Blocks per page when reading back: a few MB of lines. */
const pageBlocks = 8
/** Blocks per transaction when removing: tens of milliseconds. */
const removalBlocks = 100
/** Five seconds in all. */
const emptyLogAgain = Schedule.intersect(Schedule.spaced("200 millis"), Schedule.recurs(25))
const checkpointAfter = Duration.seconds(1)
const retentionEvery = Schedule.spaced("1 hour")

const CountRow = Schema.Struct({ count: Schema.Number })
const ContactRow = Schema.Struct({ lastReceivedMs: Schema.Number })
const TotalsRow = Schema.Struct({
  installations: Schema.Number,
  blocks: Schema.Number,
  records: Schema.Number,
  samples: Schema.Number,
  lastReceivedMs: Schema.NullOr(Schema.Number)
})
const PageRow = Schema.Struct({
  id: Schema.Number,
  // The driver gives blobs as ArrayBuffer.
  gzippedLines: Schema.Union(Schema.instanceOf(ArrayBuffer), Schema.Uint8ArrayFromSelf)
})

const decodeCheckpoint = Schema.decodeUnknownSync(Schema.Tuple(Schema.Struct({ busy: Schema.Number })))

const queries = {
  append: `INSERT INTO block (installation_id, heatpump_id, model, version, received_at_ms, first_timestamp_ms,
    last_timestamp_ms, records, samples, sha256, gzipped_lines) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (installation_id, sha256) DO NOTHING RETURNING id`,
  // A duplicate is contact too.
  contact: "UPDATE installation SET last_received_ms = max(last_received_ms, ?) WHERE id = ?",
  active: "SELECT count(*) AS count FROM installation WHERE last_received_ms >= ?",
  lastContact: "SELECT last_received_ms AS lastReceivedMs FROM installation WHERE id = ?",
  totals: `SELECT count(*) AS installations, coalesce(sum(blocks), 0) AS blocks, coalesce(sum(records), 0) AS records,
    coalesce(sum(samples), 0) AS samples, max(last_received_ms) AS lastReceivedMs FROM installation`,
  page: `SELECT id, gzipped_lines AS gzippedLines FROM block WHERE installation_id = ? AND id > ?
    AND last_timestamp_ms >= ? AND first_timestamp_ms < ? ORDER BY id LIMIT ${pageBlocks}`,
  removeInstallation: `DELETE FROM block WHERE id IN
    (SELECT id FROM block WHERE installation_id = ? LIMIT ${removalBlocks}) RETURNING id`,
  removeOld: `DELETE FROM block WHERE id IN
    (SELECT id FROM block WHERE last_timestamp_ms < ? LIMIT ${removalBlocks}) RETURNING id`
}

const appendBlock = (db: Sqlite) => {
  const insert = db.prepare(queries.append)
  const contact = db.prepare(queries.contact)
  return (block: Block, receivedAtMs: number): Appended => {
    const rows = insert.all([
      block.installationId,
      block.heatpumpId ?? null,
      block.model,
      block.version,
      receivedAtMs,
      block.firstTimestampMs,
      block.lastTimestampMs,
      block.records,
      block.samples,
      block.sha256,
      block.gzippedLines
    ])
    if (rows.length > 0) return "stored"
    contact.run([receivedAtMs, block.installationId])
    return "duplicate"
  }
}

/** Every sample in one SQLite file under `DATA_DIR`; needs no other service. */
const make = Effect.fn("EmbeddedStore.make")(function* (options: EmbeddedStoreOptions) {
  const db = yield* openSqlite(options.file)
  const directory = dirname(options.file)
  const insert = appendBlock(db)
  const grown = yield* Effect.makeLatch(true)

  const attempt = <A>(operation: string, body: () => A) =>
    Effect.try({ try: body, catch: (cause) => new StoreError({ operation, cause }) })
  const select = <A, I>(operation: string, row: Schema.Schema<A, I>, sql: string) => {
    const statement = db.prepare(sql)
    const decode = Schema.decodeUnknownSync(Schema.Array(row))
    return (...parameters: ReadonlyArray<unknown>) => attempt(operation, () => decode(statement.all([...parameters])))
  }
  const countActive = select("count active installations", CountRow, queries.active)
  const findContact = select("look up an installation", ContactRow, queries.lastContact)
  const sumTotals = select("sum up", TotalsRow, queries.totals)
  const readPage = select("read back", PageRow, queries.page)

  const full = (reason: string) =>
    new StoreFull({ detail: `Not stored: ${reason}. Please retry later`, retryAfterSeconds: 300 })

  const checkDisk = Effect.flatMap(
    attempt("measure the free disk space", () => statfsSync(directory)),
    ({ bavail, bsize }) =>
      bavail * bsize < options.minFreeDiskBytes ? full("the server's disk is nearly full") : Effect.void
  )

  const append = Effect.fn("EmbeddedStore.append")(function* (blocks: ReadonlyArray<Block>) {
    yield* checkDisk
    const receivedAtMs = yield* Clock.currentTimeMillis
    yield* grown.open
    return yield* Effect.try({
      try: () => transaction(db, () => blocks.map((block) => insert(block, receivedAtMs))),
      catch: (cause) =>
        isDiskFull(cause) ? full("the server's disk is full") : new StoreError({ operation: "append", cause })
    })
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

  const read = (installation: InstallationId, range: TimeRange = {}) => {
    const fromMs = range.fromMs ?? 0
    const untilMs = range.untilMs ?? Number.MAX_SAFE_INTEGER
    return Stream.paginateChunkEffect(0, (afterId) =>
      Effect.gen(function* () {
        const rows = yield* readPage(installation, afterId, fromMs, untilMs)
        const lines = yield* Effect.forEach(rows, (row) =>
          Effect.tryPromise({
            try: () => gunzipAsync(row.gzippedLines),
            catch: (cause) => new StoreError({ operation: "read back", cause })
          })
        )
        const records = lines
          .flatMap(readLines)
          .filter(({ timestampMs }) => timestampMs >= fromMs && timestampMs < untilMs)
        const last = rows.at(-1)
        return [Chunk.unsafeFromArray(records), Option.map(Option.fromNullable(last), ({ id }) => id)] as const
      })
    )
  }

  /** Removes a few blocks at a time, so that appends get their turn. Returns how many in all. */
  const remove = Effect.fn("EmbeddedStore.remove")(function* (sql: string, parameter: string | number) {
    const statement = db.prepare(sql)
    let removed = 0
    while (true) {
      const { length } = yield* attempt("remove", () => transaction(db, () => statement.all([parameter])))
      removed += length
      if (length < removalBlocks) return removed
      yield* Effect.yieldNow()
    }
  })

  const checkpoint = attempt("write its log back", () => db.pragma("wal_checkpoint(PASSIVE)"))

  /** Once a second while there is something to write back; an idle store sleeps. */
  const checkpointWhenGrown = grown.await.pipe(
    Effect.zipRight(Effect.sleep(checkpointAfter)),
    Effect.zipRight(grown.close),
    Effect.zipRight(checkpoint),
    Effect.tapError(() => grown.open)
  )

  const reclaim = attempt("reclaim space", () => db.pragma("incremental_vacuum"))

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

  const erase = Effect.fn("EmbeddedStore.erase")(function* (installation: InstallationId) {
    const removed = yield* remove(queries.removeInstallation, installation)
    yield* reclaim
    yield* emptyLog
    return removed
  })

  const enforceRetention = Effect.gen(function* () {
    const nowMs = yield* Clock.currentTimeMillis
    const removed = yield* remove(queries.removeOld, nowMs - Duration.toMillis(options.retention))
    if (removed > 0) {
      yield* reclaim
      yield* grown.open
      yield* Effect.logInfo("removed blocks older than the retention", { blocks: removed })
    }
  })

  /** Upkeep is tried again at its next turn: neither a full disk nor a mistake of ours may end it in silence. */
  const upkeep = <R>(task: Effect.Effect<unknown, StoreError, R>, every: Schedule.Schedule<unknown>) =>
    task.pipe(
      Effect.catchAllCause((cause) => Effect.logError("the store's upkeep failed; trying again later", cause)),
      Effect.repeat(every),
      Effect.forkScoped
    )
  yield* upkeep(checkpointWhenGrown, Schedule.forever)
  yield* upkeep(enforceRetention, retentionEvery)

  return Store.of({
    append,
    ready: checkDisk,
    activeInstallations: (sinceMs) => Effect.map(countActive(sinceMs), ([row]) => row!.count),
    lastContactMs: (installation) =>
      Effect.map(findContact(installation), ([row]) => Option.map(Option.fromNullable(row), (r) => r.lastReceivedMs)),
    totals,
    read,
    erase
  })
})

export const layerEmbeddedStore = (options: EmbeddedStoreOptions) => Layer.scoped(Store, make(options))
