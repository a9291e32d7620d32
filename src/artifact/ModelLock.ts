/**
 * Locks in `MODEL_DIR` that end with their process, however it ends: SQLite's own on an empty file, which the kernel
 * holds for whoever has it open, also across containers that share a volume.
 */
import { Data, Effect, Schedule } from "effect"
import Database from "libsql"

/** Another process holds the lock. */
class Locked extends Data.TaggedError("Locked")<{ readonly file: string; readonly cause: unknown }> {
  override get message() {
    return `another process is at work there: ${this.file} is locked`
  }
}

/** Nobody can hold the lock: its file cannot be opened or written to. */
class LockUnusable extends Data.TaggedError("LockUnusable")<{ readonly file: string; readonly cause: unknown }> {
  override get message() {
    const reason = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `cannot lock ${this.file}: ${reason}; it must be a file that this user may write to`
  }
}

const open = (file: string): Database.Database => {
  const db = new Database(file, { timeout: 0 })
  try {
    db.exec("BEGIN EXCLUSIVE")
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

const isBusy = (error: unknown): boolean => error instanceof Database.SqliteError && error.code === "SQLITE_BUSY"

const lock = (file: string) =>
  Effect.try({
    try: () => open(file),
    catch: (cause) => (isBusy(cause) ? new Locked({ file, cause }) : new LockUnusable({ file, cause }))
  })

const release = (db: Database.Database) => Effect.sync(() => db.close())

/** For the life of the scope, or not at all. */
export const tryLock = (file: string) => Effect.asVoid(Effect.acquireRelease(lock(file), release))

/** The same, waiting ten seconds for others. */
export const waitForLock = (file: string) =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.retry(lock(file), {
        while: ({ _tag }) => _tag === "Locked",
        schedule: Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(100))
      }),
      release
    )
  )
