/** Tables of blocks in files that go away after the tests. */
import { copyFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Deferred, Effect, Layer, type Scope } from "effect"
import Database from "libsql"
import { Fatal } from "../../src/Fatal.js"
import { type BlockTable, openBlockTable } from "../../src/store/BlockTable.js"
import { noisyBlock } from "./blocks.js"
import { freshDirectories } from "./directories.js"
import { installationOf } from "./storeHomes.js"
import { captureLogs } from "./testServer.js"

/** For one test file, which calls it while it loads: names of files in directories of their own. */
export const freshFiles = () => {
  const freshDirectory = freshDirectories()
  return () => join(freshDirectory(), "telemetry.sqlite")
}

export const nowMs = Date.now()
export const blocks = Promise.all([1, 2, 3].map((home) => noisyBlock(installationOf(home), home, 2, nowMs)))
export const megabytes = 1_000_000

interface Opened {
  readonly table: BlockTable
  readonly fatal: Deferred.Deferred<never, Error>
  readonly logs: ReadonlyArray<string>
}
export const withTable = <A, E>(
  file: string,
  body: (opened: Opened) => Effect.Effect<A, E, Scope.Scope>,
  minFreeDiskBytes = 64 * megabytes
) =>
  Effect.gen(function* () {
    const logs = captureLogs()
    const fatal = yield* Deferred.make<never, Error>()
    return yield* openBlockTable({ file, minFreeDiskBytes }).pipe(
      Effect.flatMap((table) => body({ table, fatal, logs: logs.lines })),
      Effect.provide(Layer.merge(logs.layer, Layer.succeed(Fatal, fatal))),
      Effect.scoped
    )
  })
/** Of the file alone, as if its log were lost. */
export const rowsWithoutLog = (file: string) => {
  const copy = `${file}.copy`
  copyFileSync(file, copy)
  const db = new Database(copy)
  try {
    return db.prepare("SELECT name FROM sqlite_schema WHERE name = 'block'").all().length === 0
      ? 0
      : db.prepare("SELECT id FROM block").all().length
  } finally {
    db.close()
    rmSync(copy)
  }
}
export const soon = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 30)))
