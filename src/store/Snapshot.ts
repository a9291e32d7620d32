/**
 * A consistent copy of the store's file while another program writes to it: one read transaction, so it holds every
 * commit that came before it and none that came after. What has been erased is not in it, since only rows are copied
 * (https://www.sqlite.org/lang_vacuum.html#vacuuminto).
 */
import { existsSync } from "node:fs"
import { Data, Effect } from "effect"
import Database from "libsql"
import { DatabaseUnusable, openSqliteToRead } from "./Sqlite.js"

/** What lies at a place that is to be restored is in use. */
class StoreInUse extends Data.TaggedError("StoreInUse")<{ readonly file: string }> {
  override get message() {
    return `a server is running on ${this.file}; stop it first`
  }
}

/** @param target must not exist */
export const snapshot = Effect.fn("Snapshot.write")(function* (file: string, target: string) {
  const db = yield* openSqliteToRead(file)
  yield* Effect.try({
    try: () => {
      db.pragma("query_only = OFF")
      db.prepare("VACUUM INTO ?").run([target])
    },
    catch: (cause) => new DatabaseUnusable({ file: target, cause })
  })
}, Effect.scoped)

/** Fails while any other program has the file open: leaving WAL mode takes all of it. */
export const checkUnused = (file: string) =>
  Effect.try({
    try: () => {
      if (!existsSync(file)) return
      const db = new Database(file, { timeout: 0 })
      try {
        db.pragma("journal_mode = DELETE")
      } finally {
        db.close()
      }
    },
    catch: (cause) => cause
  }).pipe(
    Effect.catchAll((cause) =>
      cause instanceof Database.SqliteError && cause.code === "SQLITE_BUSY"
        ? new StoreInUse({ file })
        : // Damaged, or no database: it is to be replaced.
          Effect.void
    )
  )

/** Reads all of it. */
export const verifySnapshot = (file: string) =>
  Effect.try({
    try: () => {
      const db = new Database(file)
      try {
        const findings = JSON.stringify(db.prepare("PRAGMA integrity_check(1)").all())
        if (!findings.includes('"ok"')) throw new Error(findings)
      } finally {
        db.close()
      }
    },
    catch: (cause) => new DatabaseUnusable({ file, cause })
  })
