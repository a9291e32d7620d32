/**
 * Opens the store's file, whatever has happened to it.
 *
 * - Its log is looked at first, because SQLite leaves out in silence what it cannot read of it. Then the file is
 *   checked: always while it is small, and of any size when the last run came upon damage.
 * - A file of another program or of a newer release is refused, damaged or not. So is one that cannot be opened at all.
 * - Any other damaged file, one that is no database included, is set aside under a new name, never deleted, and every
 *   block in it that its digest proves genuine goes into a new one.
 * - `.salvaging` is being written, and is begun anew after a crash. `.salvaged` is complete: whoever finds it finishes
 *   the renaming, so a crash at any moment costs a second attempt only.
 * - A full disk is waited for: a program started again would find it just as full.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { basename, dirname, join } from "node:path"
import { Clock, Effect, Schedule, Schema } from "effect"
import { eventLoopTurn } from "../eventLoopTurn.js"
import { prepareInsert } from "./insertBlock.js"
import { salvageBlocks } from "./Salvage.js"
import {
  Damaged,
  DatabaseUnusable,
  isDamage,
  isDiskFull,
  openSqlite,
  refuseForeign,
  type Sqlite,
  transaction
} from "./Sqlite.js"
import { SqlitePages } from "./SqlitePages.js"

/** The check reads the whole file, a second or so per GB. */
const alwaysCheckedBytes = 4 * 2 ** 30
const diskFullAgain = Schedule.union(Schedule.exponential("1 second"), Schedule.spaced("30 seconds"))
/** Rows per transaction when saving what is left. */
const salvageRows = 100

const suspectMark = (file: string) => `${file}.suspect`
const salvagingName = (file: string) => `${file}.salvaging`
const salvagedName = (file: string) => `${file}.salvaged`
const companions = ["", "-wal", "-shm"] as const

/** The names of what repairs have set aside, companions included. */
export const damagedFiles = (file: string): ReadonlyArray<string> =>
  readdirSync(dirname(file))
    .filter((name) => name.startsWith(`${basename(file)}.damaged-`))
    .sort()

export const deleteDamagedFiles = (file: string): void => {
  for (const name of damagedFiles(file)) rmSync(join(dirname(file), name))
}

/** Lets the next start check the whole file. */
export const markSuspect = (file: string) =>
  Effect.ignore(Effect.try(() => writeFileSync(suspectMark(file), "", { mode: 0o600 })))

const attempt = <A>(file: string, body: () => A) =>
  Effect.try({ try: body, catch: (cause) => new DatabaseUnusable({ file, cause }) })

const whenThereIsSpace =
  (doing: string) =>
  <A, R>(effect: Effect.Effect<A, DatabaseUnusable, R>) =>
    effect.pipe(
      Effect.tapError(({ cause, file }) =>
        Effect.when(Effect.logError(`the disk is full; waiting for space to ${doing}`, { file }), () =>
          isDiskFull(cause)
        )
      ),
      Effect.retry({ while: ({ cause }) => isDiskFull(cause), schedule: diskFullAgain })
    )

const look = (file: string) => {
  const pages = new SqlitePages(file)
  try {
    const header = pages.header()
    if (header !== undefined) refuseForeign(header.application, header.version)
  } finally {
    pages.close()
  }
  if (pages.log.state === "broken") return "broken log"
  if (pages.fileBytes === 0 && pages.log.positions.size > 0) return "lost file"
  return pages.log.state === "torn" ? "torn log" : undefined
}

/** What SQLite would pass over without a word, or could not say of a damaged file. */
const inspect = Effect.fn("Intact.inspect")(function* (file: string) {
  // While another program writes, the log may seem broken where it is not: it has written on by the second look.
  const finding = yield* attempt(file, () => (look(file) === undefined ? undefined : look(file)))
  if (finding === "torn log") {
    yield* Effect.logWarning("torn log: it ends in a transaction that was never acknowledged, which is dropped", {
      file
    })
  } else if (finding !== undefined) {
    const what = {
      "broken log": "transactions in its log cannot be read, or the log's beginning",
      "lost file": "it is empty or missing, while its log is there"
    }
    return yield* new DatabaseUnusable({ file, cause: new Damaged(`${finding}: ${what[finding]}`) })
  }
})

const Check = Schema.Tuple(Schema.Struct({ integrity_check: Schema.String }))

/** Not `quick_check`, which takes half the time or less but does not compare indexes with their tables. */
const verify = (file: string) => (db: Sqlite) => {
  if (!existsSync(suspectMark(file)) && statSync(file).size > alwaysCheckedBytes) return
  const [{ integrity_check }] = Schema.decodeUnknownSync(Check)(db.prepare("PRAGMA integrity_check(1)").all())
  if (integrity_check !== "ok") throw new Damaged(`malformed database: ${integrity_check.split("\n").at(-1)}`)
}

/** Puts what is left of `file` into a new file beside it. */
const salvage = Effect.fn("Intact.salvage")(function* (file: string) {
  const target = salvagingName(file)
  const remove = attempt(target, () => {
    for (const suffix of ["", "-journal"]) rmSync(target + suffix, { force: true })
  })
  const nowMs = yield* Clock.currentTimeMillis
  const fill = Effect.gen(function* () {
    const db = yield* openSqlite(target, { journalMode: "DELETE" })
    const insert = prepareInsert(db)
    const rows = yield* Effect.acquireRelease(
      Effect.sync(() => salvageBlocks(file, nowMs)),
      (rows) => Effect.sync(() => rows.return(0))
    )
    let savedBlocks = 0
    let savedSamples = 0
    const savePage = () => {
      for (let i = 0; i < salvageRows; i++) {
        const next = rows.next()
        if (next.done) return next.value
        if (insert(next.value, next.value.receivedAtMs) === "duplicate") continue
        savedBlocks++
        savedSamples += next.value.samples
      }
      return undefined
    }
    while (true) {
      const damagedRows = yield* attempt(target, () => transaction(db, savePage))
      if (damagedRows !== undefined) return { savedBlocks, savedSamples, damagedRows }
      yield* eventLoopTurn
    }
  }).pipe(Effect.scoped)
  yield* remove
  // The disk is not left full of what is to be written again.
  const saved = yield* Effect.tapError(fill, () => remove)
  yield* attempt(file, () => renameSync(target, salvagedName(file)))
  return saved
})

/** Puts the salvaged file in its place. The damaged one has left it, or leaves it now. */
const replace = Effect.fn("Intact.replace")(function* (file: string) {
  const nowMs = yield* Clock.currentTimeMillis
  return yield* attempt(file, () => {
    const nameAt = (ms: number): string => {
      const name = `${file}.damaged-${new Date(ms).toISOString().replace(/[-:.]/g, "")}`
      return companions.some((suffix) => existsSync(name + suffix)) ? nameAt(ms + 1) : name
    }
    const setAside = nameAt(nowMs)
    // The log goes before the salvaged file comes: SQLite would take it for that one's.
    for (const suffix of companions) if (existsSync(file + suffix)) renameSync(file + suffix, setAside + suffix)
    renameSync(salvagedName(file), file)
    rmSync(suspectMark(file), { force: true })
    const directory = openSync(dirname(file), "r")
    fsyncSync(directory)
    closeSync(directory)
    return setAside
  })
})

const repair = Effect.fn("Intact.repair")(function* (file: string, { cause }: DatabaseUnusable) {
  const reason = cause instanceof Error ? cause.message : String(cause)
  yield* Effect.logError(`the store's file is damaged: ${reason}; saving what can be read`, { file })
  const saved = yield* whenThereIsSpace("save what can be read of the damaged file")(salvage(file))
  const setAside = yield* replace(file)
  yield* Effect.logError(
    "the damaged file has been set aside; serving goes on with what could be saved. Erasing a home names the damaged file and deletes it with --delete-damaged; delete it when nobody needs it any more",
    { setAside, ...saved }
  )
})

/** The file for the life of the scope, checked, and repaired when it had to be. */
export const openIntact = Effect.fn("Intact.open")(function* (file: string) {
  if (existsSync(salvagedName(file))) {
    const setAside = yield* replace(file)
    yield* Effect.logError("a repair that had been interrupted is complete", { setAside })
  }
  const open = Effect.zipRight(inspect(file), openSqlite(file, { verify: verify(file) })).pipe(
    whenThereIsSpace("open the store")
  )
  const db = yield* open.pipe(
    Effect.catchIf(
      ({ cause }) => isDamage(cause),
      (error) => Effect.zipRight(repair(file, error), open)
    )
  )
  yield* attempt(file, () => rmSync(suspectMark(file), { force: true }))
  return db
})
