import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Block } from "../../src/domain/Block.js"
import { prepareInsert } from "../../src/store/insertBlock.js"
import { openSqlite, pageBytes, transaction } from "../../src/store/Sqlite.js"
import { Store } from "../../src/store/Store.js"
import { noisyBlock } from "../support/blocks.js"
import { freshDirectories } from "../support/directories.js"
import { type Environment, layerStoreOf, serverProcess, spawnServer } from "../support/program.js"
import { canMount, smallDisk } from "../support/smallDisk.js"
import { installationOf } from "../support/storeHomes.js"

const nowMs = Date.now()
const freshDirectory = freshDirectories()

const blocks = (count: number) =>
  Effect.promise(() =>
    Promise.all(Array.from({ length: count }, (_, i) => noisyBlock(installationOf(i), i, 1 + (i % 20), nowMs)))
  )
/** What a server leaves. */
const store = (dataDir: string, blocks: ReadonlyArray<Block>) =>
  Effect.gen(function* () {
    const db = yield* openSqlite(join(dataDir, "telemetry.sqlite"))
    const insert = prepareInsert(db)
    transaction(db, () => blocks.map((block) => insert(block, nowMs)))
  }).pipe(Effect.scoped)
const loseFirstPage = (dataDir: string) => {
  const file = join(dataDir, "telemetry.sqlite")
  const bytes = readFileSync(file)
  bytes.fill(0, 0, pageBytes)
  writeFileSync(file, bytes)
}
const keptBlocks = (dataDir: string) =>
  Effect.flatMap(Store, (store) => store.totals).pipe(
    Effect.map(({ blocks }) => blocks),
    Effect.provide(layerStoreOf(dataDir))
  )
const setAsideIn = (dataDir: string) => readdirSync(dataDir).filter((name) => /\.damaged-\d{8}T\d{9}Z$/.test(name))

/** For the life of the scope, whether or not it ever listens. */
const spawned = (environment: Environment) =>
  Effect.acquireRelease(
    Effect.sync(() => spawnServer(environment)),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

describe("damage", () => {
  it.scopedLive("that a running server comes upon ends it with 1, and its next start repairs the file", () =>
    Effect.gen(function* () {
      const dataDir = freshDirectory()
      const file = join(dataDir, "telemetry.sqlite")
      const [first, ...others] = yield* blocks(12)
      // Retention comes upon it at once.
      yield* store(dataDir, [{ ...first!, firstTimestampMs: 1, lastTimestampMs: 1 }, ...others])
      // One byte of an index, which makes its entry another's.
      const bytes = readFileSync(file)
      const indexPage = 0x0a
      let at = bytes.indexOf(first!.sha256)
      while (bytes[at - (at % pageBytes)] !== indexPage) at = bytes.indexOf(first!.sha256, at + 1)
      bytes[at + 31]! ^= 0xff
      writeFileSync(file, bytes)
      // So large that it is not checked without a suspicion; nothing is in the rest of it.
      truncateSync(file, 4 * 2 ** 30 + pageBytes)

      const broken = yield* spawned({ DATA_DIR: dataDir })
      assert.strictEqual(yield* Effect.promise(() => broken.ended), 1)
      assert.match(broken.log(), /the store's file is damaged; ending, so that the next start repairs it/)
      assert.match(broken.log(), /error: the store failed to remove/)
      assert.isTrue(existsSync(`${file}.suspect`))

      const repaired = yield* serverProcess({ DATA_DIR: dataDir })
      assert.match(repaired.log(), /damaged: malformed database: .*missing from index/)
      assert.isFalse(existsSync(`${file}.suspect`))
      assert.strictEqual(yield* Effect.promise(() => repaired.stop("SIGTERM")), 0)
      assert.strictEqual(yield* keptBlocks(dataDir), 12)
    })
  )

  it.scopedLive("survives kills while it is being repaired", () =>
    Effect.gen(function* () {
      const dataDir = freshDirectory()
      yield* store(dataDir, yield* blocks(60))
      loseFirstPage(dataDir)
      for (const afterMs of [0, 20]) {
        const server = yield* spawned({ DATA_DIR: dataDir })
        yield* Effect.promise(() => server.logged(/saving what can be read|Listening/))
        yield* Effect.sleep(afterMs)
        assert.strictEqual(yield* Effect.promise(() => server.stop("SIGKILL")), "SIGKILL")
      }
      const server = yield* serverProcess({ DATA_DIR: dataDir })
      yield* Effect.promise(() => server.stop("SIGTERM"))
      assert.strictEqual(yield* keptBlocks(dataDir), 60)
      assert.strictEqual(setAsideIn(dataDir).length, 1)
      assert.isEmpty(readdirSync(dataDir).filter((name) => /salvag/.test(name)))
    })
  )
})

describe("a full disk at start", () => {
  const fill = (disk: string) => {
    try {
      writeFileSync(join(disk, "ballast"), Buffer.alloc(16 * 2 ** 20))
    } catch {
      // As full as it can be.
    }
  }
  const waiting = Effect.fn("waiting")(function* (disk: string, line: RegExp) {
    const server = yield* spawned({ DATA_DIR: disk, MIN_FREE_DISK_BYTES: "0" })
    yield* Effect.promise(() => server.logged(line))
    assert.notMatch(server.log(), /Listening/)
    return server
  })

  it.runIf(canMount)("is waited for and named; a stop is obeyed, and space lets the server start", () =>
    Effect.gen(function* () {
      const disk = yield* smallDisk(freshDirectory())
      yield* store(disk, yield* blocks(5))
      fill(disk)
      const line = /the disk is full; waiting for space to open the store/
      const stopped = yield* waiting(disk, line)
      assert.strictEqual(yield* Effect.promise(() => stopped.stop("SIGTERM")), 0)
      const server = yield* waiting(disk, line)
      rmSync(join(disk, "ballast"))
      yield* Effect.promise(() => server.logged(/Listening/))
      yield* Effect.promise(() => server.stop("SIGTERM"))
      assert.strictEqual(yield* keptBlocks(disk), 5)
    }).pipe(Effect.scoped, Effect.runPromise)
  )

  it.runIf(canMount)(
    "too full to repair: nothing is left half written, and space lets the server repair and start",
    () =>
      Effect.gen(function* () {
        const disk = yield* smallDisk(freshDirectory())
        yield* store(disk, yield* blocks(60))
        loseFirstPage(disk)
        fill(disk)
        const server = yield* waiting(
          disk,
          /the disk is full; waiting for space to save what can be read of the damaged/
        )
        assert.isEmpty(readdirSync(disk).filter((name) => /salvag/.test(name)))
        rmSync(join(disk, "ballast"))
        yield* Effect.promise(() => server.logged(/Listening/))
        yield* Effect.promise(() => server.stop("SIGTERM"))
        assert.strictEqual(yield* keptBlocks(disk), 60)
        assert.strictEqual(setAsideIn(disk).length, 1)
      }).pipe(Effect.scoped, Effect.runPromise)
  )
})
