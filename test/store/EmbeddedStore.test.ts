import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Exit, Layer, Logger, Stream } from "effect"
import Database from "libsql"
import type { Block } from "../../src/domain/Block.js"
import { type EmbeddedStoreOptions, layerEmbeddedStore } from "../../src/store/EmbeddedStore.js"
import { migrations } from "../../src/store/migrations.js"
import { DatabaseUnusable, openSqlite } from "../../src/store/Sqlite.js"
import { Store, StoreFull } from "../../src/store/Store.js"
import { blockOf } from "../support/blocks.js"
import { makeJumpingClock } from "../support/clock.js"
import { canMount, smallDisk } from "../support/smallDisk.js"
import { storeContract } from "../support/storeContract.js"
import { installationOf } from "../support/storeHomes.js"

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
const silent = Logger.remove(Logger.defaultLogger)
const opened = (directory: string, others: Partial<EmbeddedStoreOptions> = {}) =>
  Effect.provide(Layer.provide(layerEmbeddedStore(options(directory, others)), silent))

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

const nowMs = Date.now()
const dayMs = 86_400_000

/** Blocks whose every record has `value`; `noise` more fields are random, so that they hardly compress. */
const blockAt = (home: number, value: number, timestampsMs: ReadonlyArray<number> = [nowMs], noise = 0) =>
  Effect.promise(() =>
    blockOf(
      {
        installation_id: installationOf(home),
        data: timestampsMs.map((ms) => ({
          timestamp: ms / 1000,
          value,
          ...Object.fromEntries(Array.from({ length: noise }, (_, i) => [`noise_${i}`, Math.random()]))
        }))
      },
      nowMs
    )
  )
const append = (...blocks: ReadonlyArray<Block>) => Effect.flatMap(Store, (store) => store.append(blocks))
const totals = Effect.flatMap(Store, (store) => store.totals)
const valuesOf = (home: number) =>
  Effect.gen(function* () {
    const store = yield* Store
    return Array.from(yield* Stream.runCollect(store.read(installationOf(home))), ({ values }) => values.get("value"))
  })

/** Real time, whatever the test's clock. */
const wait = (ms: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, ms)))
const eventually = <E, R>(isSo: Effect.Effect<boolean, E, R>) =>
  isSo.pipe(
    Effect.zipLeft(wait(5)),
    Effect.repeat({ until: (so) => so, times: 400 }),
    Effect.map((so) => assert.isTrue(so, "it never came to be"))
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
          const error = yield* Effect.flip(Effect.provide(totals, layerEmbeddedStore({ ...options(root), file })))
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

describe("retention of the embedded store", () => {
  it.live("removes exactly the blocks whose last sample is older, at start and every hour", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      const cutoffMs = nowMs - 10 * dayMs
      yield* Effect.gen(function* () {
        yield* append(yield* blockAt(1, 1, [cutoffMs]))
        yield* append(yield* blockAt(1, 2, [cutoffMs - 1]), yield* blockAt(2, 3, [cutoffMs - dayMs]))
        yield* append(yield* blockAt(3, 4, [cutoffMs - dayMs, cutoffMs + dayMs / 2]))
        const old = yield* Effect.forEach(Array.from({ length: 250 }), (_, value) => blockAt(4, value, [cutoffMs - 1]))
        yield* append(...old)
      }).pipe(opened(directory))

      const { clock, jumpTo } = makeJumpingClock(nowMs)
      const blocksAre = (count: number) => eventually(Effect.map(totals, ({ blocks }) => blocks === count))
      yield* Effect.gen(function* () {
        yield* blocksAre(2)
        assert.deepStrictEqual([yield* valuesOf(1), yield* valuesOf(2), yield* valuesOf(3)], [[1], [], [4, 4]])
        assert.deepInclude(yield* totals, { installations: 2, blocks: 2, records: 3, samples: 3 })
        yield* jumpTo(nowMs + Duration.toMillis("59 minutes"))
        yield* wait(50)
        assert.deepStrictEqual(yield* valuesOf(1), [1])
        yield* jumpTo(nowMs + Duration.toMillis("60 minutes"))
        yield* blocksAre(1)
        assert.deepStrictEqual(yield* valuesOf(3), [4, 4])
        // The next turn after one that removed something.
        yield* jumpTo(nowMs + 10 * dayMs + 1)
        yield* blocksAre(0)
      }).pipe(opened(directory, { retention: Duration.days(10) }), Effect.withClock(clock))
    })
  )
})

describe("retention of an idle embedded store", () => {
  it.live("gives the space back without waiting for an append, which a nearly full disk would refuse", () => {
    const directory = freshDirectory()
    const fileSize = () => statSync(options(directory).file).size
    const { clock, jumpTo } = makeJumpingClock(nowMs)
    return Effect.gen(function* () {
      const almostOld = Array.from({ length: 60 }, (_, i) => nowMs - 10 * dayMs + 60_000 + i)
      yield* append(yield* blockAt(1, 1, almostOld, 1500))
      yield* jumpTo(nowMs + 2_000)
      yield* eventually(Effect.sync(() => fileSize() > 500_000))
      yield* jumpTo(nowMs + Duration.toMillis("61 minutes"))
      yield* eventually(Effect.map(totals, ({ blocks }) => blocks === 0))
      yield* eventually(Effect.sync(() => fileSize() < 250_000))
    }).pipe(opened(directory, { retention: Duration.days(10) }), Effect.withClock(clock))
  })
})

describe("erase of the embedded store", () => {
  /** What of the canary is in the directory's files: its id, and stretches of its compressed blocks. */
  const tracesIn = (directory: string, home: number, blocks: ReadonlyArray<Block>) => {
    const bytes = Buffer.concat(readdirSync(directory).map((name) => readFileSync(join(directory, name))))
    const stretches = blocks.flatMap(({ gzippedLines, sha256 }) => [
      sha256,
      ...Array.from({ length: Math.floor(gzippedLines.length / 2000) }, (_, i) =>
        gzippedLines.subarray(i * 2000 + 1000, i * 2000 + 1032)
      )
    ])
    return [Buffer.from(installationOf(home)), ...stretches].filter((trace) => bytes.includes(trace)).length
  }
  const canary = 424_242
  /** Records of a block: some share a page of the file, some take several. */
  const sizes = [1, 3, 10, 40].map((records) => Array.from({ length: records }, (_, i) => nowMs - i))
  const fill = Effect.gen(function* () {
    const blocks: Array<Block> = []
    for (let round = 0; round < 30; round++) {
      const block = yield* blockAt(canary, round, sizes[round % 4], 100)
      blocks.push(block)
      const neighbours = [canary - 1 - round, canary + 1 + round].map((home) =>
        blockAt(home, round, sizes[(round + 1) % 4], 100)
      )
      yield* append(...(yield* Effect.all(neighbours)), block)
      if (round === 15) yield* wait(1200)
    }
    return blocks
  })

  it.live("leaves no byte of the home in any file, neither while open nor closed, and gives the space back", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      const blocks = yield* Effect.gen(function* () {
        const store = yield* Store
        const blocks = yield* fill
        assert.isAbove(tracesIn(directory, canary, blocks), 200)
        // What has been appended is in the file itself by then, not only in its log.
        yield* wait(1500)
        const fileBytes = statSync(options(directory).file).size
        const before = yield* totals
        yield* store.erase(installationOf(canary))
        assert.strictEqual(tracesIn(directory, canary, blocks), 0)
        const erasedBytes = blocks.reduce((sum, { gzippedLines }) => sum + gzippedLines.length, 0)
        assert.isBelow(statSync(options(directory).file).size, fileBytes - 0.9 * erasedBytes)
        assert.strictEqual((yield* totals).blocks, before.blocks - blocks.length)
        return blocks
      }).pipe(opened(directory))
      assert.strictEqual(tracesIn(directory, canary, blocks), 0)
    })
  )

  it.live("does not claim success while another program's reading keeps bytes of the home on disk", () => {
    const directory = freshDirectory()
    return Effect.gen(function* () {
      const store = yield* Store
      const blocks = yield* fill
      const readingProgram = Effect.acquireRelease(
        Effect.sync(() => {
          const reader = new Database(options(directory).file)
          reader.exec("BEGIN")
          reader.prepare("SELECT count(*) FROM block").all()
          return reader
        }),
        (reader) => Effect.sync(() => reader.exec("COMMIT"))
      )
      const eraseWhileRead = Effect.gen(function* () {
        yield* readingProgram
        const exit = yield* Effect.exit(store.erase(installationOf(canary)))
        assert.isTrue(Exit.isFailure(exit) || tracesIn(directory, canary, blocks) === 0)
      })
      yield* Effect.scoped(eraseWhileRead)
      yield* store.erase(installationOf(canary))
      assert.strictEqual(tracesIn(directory, canary, blocks), 0)
    }).pipe(opened(directory))
  })
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
