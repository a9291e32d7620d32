import { cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import Database from "libsql"
import type { Block } from "../../src/domain/Block.js"
import { unknownModel } from "../../src/domain/ModelName.js"
import { layerEmbeddedStore } from "../../src/store/EmbeddedStore.js"
import { migrations } from "../../src/store/migrations.js"
import { DatabaseUnusable, openSqlite } from "../../src/store/Sqlite.js"
import { Store, StoreFull } from "../../src/store/Store.js"
import { freshDirectories } from "../support/directories.js"
import { append, blockAt, nowMs, opened, options, totals, valuesOf } from "../support/embeddedStores.js"
import { canMount, smallDisk } from "../support/smallDisk.js"
import { storeContract } from "../support/storeContract.js"
import { installationOf } from "../support/storeHomes.js"

const freshDirectory = freshDirectories()

storeContract("embedded", () => layerEmbeddedStore(options(freshDirectory())), {
  sequences: 40,
  relativeError: 0
})

it.live("embedded: gives records in order of arrival", () =>
  Effect.gen(function* () {
    for (const value of [9, 2, 5]) yield* append(yield* blockAt(1, value, [nowMs - value * 1_000]))
    assert.deepStrictEqual(yield* valuesOf(1), [9, 2, 5])
  }).pipe(opened(freshDirectory()))
)

describe("the embedded store's file", () => {
  it.live("keeps everything over closing and opening, and over a crash at any moment after an append", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      const crashed = freshDirectory()
      yield* Effect.gen(function* () {
        yield* append(yield* blockAt(1, 5))
        yield* append(yield* blockAt(1, 6), yield* blockAt(2, 7))
        cpSync(directory, crashed, { recursive: true })
      }).pipe(opened(directory))
      for (const left of [directory, crashed]) {
        yield* Effect.gen(function* () {
          assert.deepStrictEqual([yield* valuesOf(1), yield* valuesOf(2)], [[5, 6], [7]])
          assert.deepInclude(yield* totals, { installations: 2, blocks: 3, records: 3, samples: 3 })
          assert.deepStrictEqual(yield* append(yield* blockAt(1, 5)), ["duplicate"])
        }).pipe(opened(left))
      }
    })
  )

  it.live("is its owner's alone, its companions too", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      yield* Effect.gen(function* () {
        yield* append(yield* blockAt(1, 5))
        const modes = readdirSync(directory).map((name) => [name, statSync(join(directory, name)).mode & 0o777])
        assert.deepStrictEqual(modes, [
          ["telemetry.sqlite", 0o600],
          ["telemetry.sqlite-shm", 0o600],
          ["telemetry.sqlite-wal", 0o600]
        ])
      }).pipe(opened(directory))
    })
  )

  it.scopedLive("syncs every commit, overwrites what it deletes, and can shrink", () =>
    Effect.gen(function* () {
      const { file } = options(freshDirectory())
      yield* Effect.scoped(openSqlite(file))
      const db = yield* openSqlite(file)
      const settings = ["journal_mode", "synchronous", "wal_autocheckpoint", "secure_delete", "auto_vacuum"]
      assert.deepStrictEqual(Object.assign({}, ...settings.map((name) => db.prepare(`PRAGMA ${name}`).all()[0])), {
        journal_mode: "wal",
        // FULL
        synchronous: 2,
        wal_autocheckpoint: 0,
        secure_delete: 1,
        // INCREMENTAL
        auto_vacuum: 2
      })
    })
  )

  it.live("is migrated once, and left alone when it is opened again", () =>
    Effect.gen(function* () {
      const { file } = options(freshDirectory())
      const inspect = Effect.scoped(
        Effect.map(openSqlite(file), (db) =>
          ["PRAGMA user_version", "PRAGMA schema_version", "SELECT * FROM sqlite_schema"].map((sql) =>
            db.prepare(sql).all()
          )
        )
      )
      const first = yield* inspect
      assert.deepInclude(first[0]![0], { user_version: migrations.length })
      assert.deepStrictEqual(yield* inspect, first)
    })
  )

  describe("is refused with one sentence that names it", () => {
    const make = (prepare: (file: string) => void) => {
      const { file } = options(freshDirectory())
      prepare(file)
      return file
    }
    const sqlite = (sql: string) => (file: string) => {
      const db = new Database(file)
      db.exec(sql)
      db.close()
    }
    const newer = (file: string) => {
      Effect.runSync(Effect.scoped(openSqlite(file)))
      sqlite(`PRAGMA user_version = ${migrations.length + 1}`)(file)
    }
    const cases: ReadonlyArray<readonly [string, (file: string) => void]> = [
      ["when a newer release wrote it", newer],
      ["when it is a directory", (file) => mkdirSync(file)],
      ["when it is the database of another program", sqlite(`CREATE TABLE t (x); PRAGMA user_version = 1`)]
    ]
    for (const [title, prepare] of cases) {
      it.live(title, () =>
        Effect.gen(function* () {
          const file = make(prepare)
          const error = yield* Effect.flip(
            Effect.provide(totals, layerEmbeddedStore({ ...options(freshDirectory()), file }))
          )
          assert.instanceOf(error, DatabaseUnusable)
          assert.include(error.message, `cannot open the embedded store ${file}: `)
          assert.notInclude(error.message, "\n")
        })
      )
    }
  })
})

describe("append and read of the embedded store", () => {
  it.live("stores nothing of a group that fails in its midst, and goes on afterwards", () =>
    Effect.gen(function* () {
      const good = yield* blockAt(1, 5)
      const bad: Block = { ...(yield* blockAt(2, 6)), records: Number.NaN }
      assert.strictEqual((yield* Effect.flip(append(good, bad)))._tag, "StoreError")
      assert.deepInclude(yield* totals, { installations: 0, blocks: 0, records: 0 })
      assert.deepStrictEqual(yield* append(good), ["stored"])
    }).pipe(opened(freshDirectory()))
  )

  it.live("averages over all blocks of a home, however many", () =>
    Effect.gen(function* () {
      for (let value = 0; value < 20; value++) yield* append(yield* blockAt(1, value, [nowMs - 1_000 + value]))
      const store = yield* Store
      const query = {
        model: unknownModel,
        fields: [{ name: "value", absent: [] }],
        fromMs: nowMs - 1_000,
        untilMs: nowMs
      }
      assert.deepStrictEqual(yield* store.means(query), new Map([[installationOf(1), new Map([["value", 9.5]])]]))
    }).pipe(opened(freshDirectory()))
  )

  it.live("reads on only when more is asked for, and reports a damaged block", () =>
    Effect.gen(function* () {
      const store = yield* Store
      for (let value = 0; value < 30; value++) yield* append(yield* blockAt(1, value))
      yield* append({ ...(yield* blockAt(1, 30)), gzippedLines: Buffer.from("not gzip") })
      const taken = yield* Stream.runCollect(Stream.take(store.read(installationOf(1)), 8))
      assert.strictEqual(Chunk.size(taken), 8)
      assert.strictEqual((yield* Effect.flip(valuesOf(1)))._tag, "StoreError")
    }).pipe(opened(freshDirectory()))
  )
})

describe("a full disk", () => {
  const sentence = /^Not stored: the server's disk is (nearly )?full\. Please retry later$/
  const assertFull = (error: unknown) => {
    if (!(error instanceof StoreFull)) assert.fail(String(error))
    assert.match(error.detail, sentence)
    assert.isAbove(error.retryAfterSeconds, 0)
  }

  it.live("nearly: refuses while less is free than it must leave, and stores nothing", () =>
    Effect.gen(function* () {
      const store = yield* Store
      assertFull(yield* Effect.flip(store.ready))
      assertFull(yield* Effect.flip(append(yield* blockAt(1, 1))))
      assert.strictEqual((yield* totals).blocks, 0)
    }).pipe(opened(freshDirectory(), { minFreeDiskBytes: 2 ** 52 }))
  )

  const fillDisk = (stored: Array<number>) =>
    Effect.gen(function* () {
      for (let value = stored.length; ; value++) {
        const blocks = [yield* blockAt(1, value, [nowMs], 1500), yield* blockAt(2, value, [nowMs], 1500)]
        const exit = yield* Effect.either(append(...blocks))
        if (exit._tag === "Left") return assertFull(exit.left)
        stored.push(value)
      }
    })

  it.runIf(canMount)("entirely: refuses, keeps what was acknowledged, goes on when there is room again", () =>
    Effect.gen(function* () {
      const disk = yield* smallDisk(freshDirectory())
      const ballast = join(disk, "ballast")
      writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024))
      const stored: Array<number> = []
      const allIsThere = Effect.gen(function* () {
        assert.deepStrictEqual([yield* valuesOf(1), yield* valuesOf(2)], [stored, stored])
        assert.deepInclude(yield* totals, { blocks: 2 * stored.length, records: 2 * stored.length })
      })
      yield* Effect.gen(function* () {
        yield* fillDisk(stored)
        yield* allIsThere
        const acknowledged = stored.length
        assert.isAbove(acknowledged, 10)
        rmSync(ballast)
        yield* fillDisk(stored)
        assert.isAbove(stored.length, acknowledged)
        yield* allIsThere
      }).pipe(opened(disk))
    }).pipe(Effect.scoped, Effect.runPromise)
  )

  it.runIf(canMount)("loses nothing by a stop in the middle of it", () =>
    Effect.gen(function* () {
      const disk = yield* smallDisk(freshDirectory())
      const ballast = join(disk, "ballast")
      writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024))
      const stored: Array<number> = []
      yield* fillDisk(stored).pipe(opened(disk))
      assert.isAbove(stored.length, 10)
      rmSync(ballast)
      assert.deepStrictEqual(yield* valuesOf(1).pipe(opened(disk)), stored)
    }).pipe(Effect.scoped, Effect.runPromise)
  )
})
