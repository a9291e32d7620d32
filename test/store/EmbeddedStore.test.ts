import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Stream, TestClock } from "effect"
import { type EmbeddedStoreOptions, layerEmbeddedStore } from "../../src/store/EmbeddedStore.js"
import { migrations } from "../../src/store/migrations.js"
import { DatabaseUnusable, openSqlite } from "../../src/store/Sqlite.js"
import { Store, type StoreError, type StoreFull } from "../../src/store/Store.js"
import { blocksOf } from "../support/blocks.js"
import { installationOf, storeContract } from "../support/storeContract.js"

const root = mkdtempSync(join(tmpdir(), "telemetry-store-"))
afterAll(() => rmSync(root, { recursive: true }))

let directories = 0
const freshDirectory = () => {
  const directory = join(root, String(directories++))
  mkdirSync(directory)
  return directory
}
const options = (directory: string, others: Partial<EmbeddedStoreOptions> = {}): EmbeddedStoreOptions => ({
  file: join(directory, "telemetry.sqlite"),
  retention: Duration.days(365),
  minFreeDiskBytes: 0,
  ...others
})

storeContract("embedded", () => layerEmbeddedStore(options(freshDirectory())))

const nowMs = Date.now()
const body = (installation: number, value: number, ageDays = 0, fields = 1) => ({
  installation_id: installationOf(installation),
  data: [
    {
      timestamp: nowMs / 1000 - ageDays * 86_400,
      ...Object.fromEntries(Array.from({ length: fields }, (_, i) => [`value_${i}`, value + Math.random()])),
      value
    }
  ]
})
const append = (submission: unknown) =>
  Effect.gen(function* () {
    const blocks = yield* Effect.promise(() => blocksOf(submission, nowMs))
    return yield* (yield* Store).append(blocks)
  })
const valuesOf = (installation: number) =>
  Effect.gen(function* () {
    const store = yield* Store
    const records = yield* Stream.runCollect(store.read(installationOf(installation)))
    return Array.from(records, ({ values }) => values.get("value"))
  })

describe("the embedded store's file", () => {
  it.effect("keeps everything over closing and opening, and is its owner's alone", () =>
    Effect.gen(function* () {
      const at = options(freshDirectory())
      yield* append(body(1, 5)).pipe(Effect.provide(layerEmbeddedStore(at)))
      const [values, totals] = yield* Effect.all([valuesOf(1), Effect.flatMap(Store, (store) => store.totals)]).pipe(
        Effect.provide(layerEmbeddedStore(at))
      )
      assert.deepStrictEqual(values, [5])
      assert.deepInclude(totals, { installations: 1, blocks: 1, records: 1, samples: 2 })
      assert.isAbove(totals.bytesOnDisk, 0)
      assert.strictEqual(statSync(at.file).mode & 0o777, 0o600)
    })
  )

  it.scoped("syncs every commit, and knows its schema's version", () =>
    Effect.gen(function* () {
      const { file } = options(freshDirectory())
      for (let opened = 0; opened < 2; opened++) {
        const db = yield* openSqlite(file)
        assert.deepInclude(db.prepare("PRAGMA synchronous").all()[0], { synchronous: 2 })
        assert.deepInclude(db.prepare("PRAGMA journal_mode").all()[0], { journal_mode: "wal" })
        assert.deepInclude(db.prepare("PRAGMA user_version").all()[0], { user_version: migrations.length })
      }
    })
  )

  it.effect("is refused with a sentence that names it when it is of a newer release or damaged", () =>
    Effect.gen(function* () {
      const newer = options(freshDirectory())
      yield* Effect.scoped(
        Effect.map(openSqlite(newer.file), (db) => db.exec(`PRAGMA user_version = ${migrations.length + 1}`))
      )
      const damaged = options(freshDirectory())
      writeFileSync(damaged.file, Buffer.alloc(100_000, "no database"))
      for (const { file } of [newer, damaged]) {
        const exit = yield* Effect.flip(Effect.scoped(openSqlite(file)))
        assert.instanceOf(exit, DatabaseUnusable)
        assert.include(exit.message, file)
      }
    })
  )

  it.effect("loses exactly what is older than the retention, at start and every hour", () =>
    Effect.gen(function* () {
      const at = options(freshDirectory(), { retention: Duration.days(10) })
      yield* TestClock.setTime(nowMs)
      const nearly = 9 + 23.5 / 24
      yield* append(body(1, 1, nearly)).pipe(
        Effect.zipRight(append(body(1, 2, 11))),
        Effect.zipRight(append(body(2, 3, 11))),
        Effect.provide(layerEmbeddedStore({ ...at, retention: Duration.days(365) }))
      )
      yield* Effect.gen(function* () {
        const store = yield* Store
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* valuesOf(1), [1])
        assert.deepStrictEqual(yield* valuesOf(2), [])
        assert.deepInclude(yield* store.totals, { installations: 1, blocks: 1, records: 1, samples: 2 })
        yield* TestClock.adjust("29 minutes")
        assert.deepStrictEqual(yield* valuesOf(1), [1])
        yield* TestClock.adjust("31 minutes")
        assert.deepStrictEqual(yield* valuesOf(1), [])
      }).pipe(Effect.provide(layerEmbeddedStore(at)))
    })
  )

  it.effect("holds no byte of an erased home, neither while open nor after closing", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      const bytes = () => Buffer.concat(readdirSync(directory).map((name) => readFileSync(join(directory, name))))
      const canary = installationOf(424_242)
      yield* Effect.gen(function* () {
        const store = yield* Store
        const blocks = yield* Effect.promise(() => blocksOf(body(424_242, 7, 0, 500), nowMs))
        const compressed = blocks[0]!.gzippedLines.subarray(100, 164)
        for (let n = 0; n < 5; n++) yield* append(body(n, n, 0, 100))
        yield* store.append(blocks)
        assert.isTrue(bytes().includes(canary) && bytes().includes(compressed))
        yield* store.erase(canary)
        assert.isFalse(bytes().includes(canary) || bytes().includes(compressed))
        assert.deepStrictEqual(yield* valuesOf(3), [3])
      }).pipe(Effect.provide(layerEmbeddedStore(options(directory))))
      assert.isFalse(bytes().includes(canary))
    })
  )

  it.effect("refuses when less disk is free than it must leave, and stores nothing", () =>
    Effect.gen(function* () {
      const store = yield* Store
      for (const attempt of [store.ready, append(body(1, 1))]) {
        assert.strictEqual((yield* Effect.flip<unknown, StoreFull | StoreError, Store>(attempt))._tag, "StoreFull")
      }
      assert.strictEqual((yield* store.totals).blocks, 0)
    }).pipe(Effect.provide(layerEmbeddedStore(options(freshDirectory(), { minFreeDiskBytes: 2 ** 52 }))))
  )
})

/** A disk of 8 MB, which only root may make; CI is root. */
const smallDisk = () => {
  const directory = freshDirectory()
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", directory], { stdio: "ignore" })
    return directory
  } catch {
    return undefined
  }
}
const disk = smallDisk()
afterAll(() => disk !== undefined && execFileSync("umount", ["--lazy", disk]))

describe("a full disk", () => {
  it.runIf(disk !== undefined)("refuses, keeps what was acknowledged, and goes on when there is room again", () =>
    Effect.gen(function* () {
      const store = yield* Store
      const ballast = join(disk!, "ballast")
      writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024))
      const stored: Array<number> = []
      for (let value = 0; ; value++) {
        const exit = yield* Effect.exit(append(body(1, value, 0, 1500)))
        if (Exit.isFailure(exit)) {
          assert.include(String(exit.cause), "StoreFull")
          break
        }
        stored.push(value)
      }
      assert.isAbove(stored.length, 10)
      assert.deepStrictEqual(yield* valuesOf(1), stored)
      rmSync(ballast)
      assert.deepStrictEqual(yield* append(body(2, 1, 0, 1500)), ["stored"])
      assert.deepStrictEqual(yield* valuesOf(1), stored)
      assert.strictEqual((yield* store.totals).blocks, stored.length + 1)
    }).pipe(Effect.provide(layerEmbeddedStore(options(disk!))), Effect.runPromise)
  )
})
