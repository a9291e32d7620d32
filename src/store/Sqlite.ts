/**
 * The embedded store's file, opened so that a commit survives a power cut.
 *
 * - WAL with `synchronous=FULL`: every commit is synced before it returns (NORMAL would sync at checkpoints only).
 * - Checkpoints are ours (`wal_autocheckpoint=0`): SQLite's own would stall an arbitrary commit for tens of
 *   milliseconds.
 * - `secure_delete`: erased data is overwritten, not merely unlinked.
 * - Synchronous calls on the main thread: safe from any fiber, because no call yields in the middle of a transaction.
 */
import { chmodSync, existsSync } from "node:fs"
import { Data, Effect, Schema } from "effect"
import Database from "libsql"
import { migrations } from "./migrations.js"

/** The file cannot be used at all; `serve` must not start. */
export class DatabaseUnusable extends Data.TaggedError("DatabaseUnusable")<{
  readonly file: string
  readonly cause: unknown
}> {
  override get message() {
    const reason = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `cannot open the embedded store ${this.file}: ${reason}; check that DATA_DIR is writable and the file intact`
  }
}

export type Sqlite = Database.Database

/** How long a statement waits, blocking everything, for another program that holds the file. */
export const busyTimeoutMs = 1_000

/** Of every file of ours: it can only be chosen before the first table. */
export const pageBytes = 16_384

/** What remains of the log's file once it has been written back. */
const logKeptBytes = 1_000_000

/** Marks the file as ours: "HPTL". https://www.sqlite.org/pragma.html#pragma_application_id */
const applicationId = 0x4850544c

const isInteger = Schema.is(Schema.Int)

/** The only number of the only row. */
export const numberIn = (db: Sqlite, query: string): number => {
  const number = Object.values(Object(db.prepare(query).all()[0]))[0]
  if (!isInteger(number)) throw new Error(`BUG: ${query} gave no number`)
  return number
}

/** Throws when a file with these two numbers in its header is not ours to touch. */
export const refuseForeign = (application: number, version: number): void => {
  if (application !== applicationId && application !== 0) throw new Error("it belongs to another program")
  if (version > migrations.length && application === applicationId) {
    throw new Error(`it was written by a newer release (schema ${version}, this one knows ${migrations.length})`)
  }
}

/** The schema's version. */
const identify = (db: Sqlite): number => {
  const application = numberIn(db, "PRAGMA application_id")
  const version = numberIn(db, "PRAGMA user_version")
  refuseForeign(application, version)
  const hasTables = numberIn(db, "SELECT count(*) FROM sqlite_schema") > 0
  if (application === 0 && hasTables) throw new Error("it belongs to another program")
  return version
}

const migrate = (db: Sqlite, version: number): void =>
  migrations.slice(version).forEach((step, i) => {
    db.exec(`BEGIN IMMEDIATE; ${step}; PRAGMA application_id = ${applicationId};
      PRAGMA user_version = ${version + i + 1}; COMMIT;`)
  })

/**
 * A connection that found damage stays open to the end of the program: were it closed, SQLite would remove the log at
 * its old path, where by then the log of the new file is.
 */
const keptOpen: Array<Sqlite> = []

interface OpenOptions {
  /** Sees the file before it is migrated, and throws. */
  readonly verify?: (db: Sqlite) => void
  /** DELETE leaves no companions behind: for a file that is to be renamed. */
  readonly journalMode?: "WAL" | "DELETE"
}

const open = (file: string, { journalMode = "WAL", verify = () => {} }: OpenOptions): Sqlite => {
  const db = new Database(file, { timeout: busyTimeoutMs })
  try {
    db.pragma(`page_size = ${pageBytes}`)
    db.pragma("auto_vacuum = INCREMENTAL")
    const version = identify(db)
    db.pragma(`journal_mode = ${journalMode}`)
    db.pragma("synchronous = FULL")
    db.pragma("secure_delete = ON")
    db.pragma("wal_autocheckpoint = 0")
    db.pragma(`journal_size_limit = ${logKeptBytes}`)
    db.pragma("cache_size = -16000")
    chmodSync(file, 0o600)
    verify(db)
    migrate(db, version)
    return db
  } catch (error) {
    if (isDamage(error)) keptOpen.push(db)
    else db.close()
    throw error
  }
}

/** Opened for the life of the scope; closing writes the WAL back into the file. */
export const openSqlite = (file: string, options: OpenOptions = {}) =>
  Effect.acquireRelease(
    Effect.try({ try: () => open(file, options), catch: (cause) => new DatabaseUnusable({ file, cause }) }),
    (db) =>
      Effect.try(() => {
        try {
          db.pragma("wal_checkpoint(TRUNCATE)")
        } finally {
          db.close()
        }
      }).pipe(Effect.catchAll((error) => Effect.logWarning("the embedded store did not close cleanly", error)))
  )

const openToRead = (file: string): Sqlite => {
  // The driver would make an empty file.
  if (!existsSync(file)) throw new Error("there is no such file")
  const db = new Database(file, { timeout: busyTimeoutMs })
  try {
    db.pragma("query_only = ON")
    const version = identify(db)
    if (version < migrations.length) {
      throw new Error(`its schema is ${version}, this release reads ${migrations.length}; serve brings it up to date`)
    }
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * Opened beside a server that writes to it, for the life of the scope: never changed, checked or repaired. Each query
 * should end soon, since what is being read cannot be erased from the log.
 */
export const openSqliteToRead = (file: string) =>
  Effect.acquireRelease(
    Effect.try({ try: () => openToRead(file), catch: (cause) => new DatabaseUnusable({ file, cause }) }),
    (db) => Effect.sync(() => db.close())
  )

/** Runs `body` in one transaction: it commits as a whole, or throws and has changed nothing. */
export const transaction = <A>(db: Sqlite, body: () => A): A => {
  db.exec("BEGIN IMMEDIATE")
  try {
    const result = body()
    db.exec("COMMIT")
    return result
  } catch (error) {
    // SQLite has already rolled back after errors like a full disk.
    if (db.inTransaction) db.exec("ROLLBACK")
    throw error
  }
}

/** The file's content is not what SQLite wrote. The message names the damage. */
export class Damaged extends Error {}

/** https://www.sqlite.org/rescode.html; the driver has names for few of the extended codes. */
const resultCode = { corrupt: 11, full: 13, notADatabase: 26, readFailed: 266 } as const

const resultCodeOf = (error: unknown): number =>
  error instanceof Database.SqliteError ? (error.rawCode ?? Number.NaN) : Number.NaN

/** An unreadable sector is damage too. */
export const isDamage = (error: unknown): boolean => {
  const code = resultCodeOf(error)
  const primary = code & 0xff
  return (
    error instanceof Damaged ||
    primary === resultCode.corrupt ||
    primary === resultCode.notADatabase ||
    code === resultCode.readFailed
  )
}

/** By SQLite's result code, or the system's. */
export const isDiskFull = (error: unknown): boolean =>
  resultCodeOf(error) === resultCode.full ||
  (error instanceof Error && (("code" in error && error.code === "ENOSPC") || error.message.includes("ENOSPC")))
