/**
 * Opens the store's file, whatever has happened to it.
 *
 * - It is checked first: always while it is small, and of any size when the last run came upon damage.
 * - A damaged file is set aside under a new name, never deleted, and every block in it that its digest proves genuine goes
 *   into the new one. The new file is complete before it gets its name, so a crash in between costs a second attempt only.
 * - A full disk is waited for: a program started again would find it just as full.
 */
import { existsSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { Clock, Effect, Schedule, Schema } from "effect"
import { prepareInsert } from "./insertBlock.js"
import { salvageBlocks } from "./Salvage.js"
import { Damaged, DatabaseUnusable, isDamage, isDiskFull, openSqlite, type Sqlite, transaction } from "./Sqlite.js"

/** The check reads the whole file, a second or so per GB. */
const alwaysCheckedBytes = 4 * 2 ** 30
const diskFullAgain = Schedule.spaced("5 seconds")
/** Rows per transaction when saving what is left. */
const salvageRows = 100

const suspectMark = (file: string) => `${file}.suspect`
const salvagedName = (file: string) => `${file}.salvaged`

/** Lets the next start check the whole file. */
export const markSuspect = (file: string) =>
  Effect.ignore(Effect.try(() => writeFileSync(suspectMark(file), "", { mode: 0o600 })))

const Check = Schema.Tuple(Schema.Struct({ quick_check: Schema.String }))

const verify = (file: string) => (db: Sqlite) => {
  if (!existsSync(suspectMark(file)) && statSync(file).size > alwaysCheckedBytes) return
  const [{ quick_check }] = Schema.decodeUnknownSync(Check)(db.prepare("PRAGMA quick_check(1)").all())
  if (quick_check !== "ok") throw new Damaged(quick_check.split("\n").at(-1))
}

/** Puts what is left of `file` into a new file beside it. */
const salvage = Effect.fn("Intact.salvage")(function* (file: string) {
  const target = salvagedName(file)
  rmSync(target, { force: true })
  const db = yield* openSqlite(target, { journalMode: "DELETE" })
  const insert = prepareInsert(db)
  const rows = salvageBlocks(file)
  let blocks = 0
  let samples = 0
  while (true) {
    const savePage = () => {
      for (let i = 0; i < salvageRows; i++) {
        const next = rows.next()
        if (next.done) return true
        if (insert(next.value, next.value.receivedAtMs) === "duplicate") continue
        blocks++
        samples += next.value.samples
      }
      return false
    }
    const isOver = yield* Effect.try({
      try: () => transaction(db, savePage),
      catch: (cause) => new DatabaseUnusable({ file: target, cause })
    })
    if (isOver) return { blocks, samples }
    yield* Effect.yieldNow()
  }
}, Effect.scoped)

const repair = Effect.fn("Intact.repair")(function* (file: string, damage: DatabaseUnusable) {
  yield* Effect.logError("the store's file is damaged; saving what can be read", damage.cause, { file })
  const saved = yield* salvage(file)
  const nowMs = yield* Clock.currentTimeMillis
  const setAside = `${file}.damaged-${new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, "")}`
  for (const suffix of ["", "-wal", "-shm"]) {
    if (existsSync(file + suffix)) renameSync(file + suffix, setAside + suffix)
  }
  renameSync(salvagedName(file), file)
  rmSync(suspectMark(file), { force: true })
  yield* Effect.logError("the damaged file has been set aside; serving goes on with what could be saved", {
    setAside,
    savedBlocks: saved.blocks,
    savedSamples: saved.samples
  })
})

/** The file for the life of the scope, checked, and repaired when it had to be. */
export const openIntact = Effect.fn("Intact.open")(function* (file: string) {
  // A crash between the two renames above.
  if (!existsSync(file) && existsSync(salvagedName(file))) renameSync(salvagedName(file), file)
  const open = openSqlite(file, { verify: verify(file) }).pipe(
    Effect.tapError((error) =>
      Effect.when(Effect.logError("the disk is full; waiting for space", { file }), () => isDiskFull(error.cause))
    ),
    Effect.retry({ while: (error) => isDiskFull(error.cause), schedule: diskFullAgain })
  )
  const db = yield* open.pipe(
    Effect.catchIf(
      (error) => isDamage(error.cause),
      (error) => Effect.zipRight(repair(file, error), open)
    )
  )
  rmSync(suspectMark(file), { force: true })
  return db
})
