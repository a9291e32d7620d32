import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Layer, Option, Schedule, type Scope } from "effect"
import Database from "libsql"
import type { Block } from "../../src/domain/Block.js"
import { Fatal } from "../../src/Fatal.js"
import { type BlockTable, openBlockTable } from "../../src/store/BlockTable.js"
import { Damaged, numberIn } from "../../src/store/Sqlite.js"
import { StoreError } from "../../src/store/Store.js"
import { noisyBlock } from "../support/blocks.js"
import { makeFastClock, makeJumpingClock } from "../support/clock.js"
import { installationOf } from "../support/storeHomes.js"
import { captureLogs } from "../support/testServer.js"

const root = mkdtempSync(join(tmpdir(), "telemetry-table-"))
afterAll(() => rmSync(root, { recursive: true }))
let directories = 0
const freshFile = () => {
  const directory = join(root, `${directories++}`)
  mkdirSync(directory)
  return join(directory, "telemetry.sqlite")
}

const nowMs = Date.now()
const blocks = Promise.all([1, 2, 3].map((home) => noisyBlock(installationOf(home), home, 2, nowMs)))
const megabytes = 1_000_000

interface Opened {
  readonly table: BlockTable
  readonly fatal: Deferred.Deferred<never, Error>
  readonly logs: ReadonlyArray<string>
}
const withTable = <A, E>(
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
const rowsWithoutLog = (file: string) => {
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
const soon = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 30)))

describe("the log of the table of blocks", () => {
  it.live("is written back a second after the last change, and after each one when it is long", () =>
    Effect.gen(function* () {
      const [block, other] = yield* Effect.promise(() => blocks)
      const { clock, jumpTo } = makeJumpingClock(nowMs)
      // Its upkeep falls asleep, and wakes.
      const secondLater = Effect.gen(function* () {
        yield* soon
        yield* jumpTo(clock.unsafeCurrentTimeMillis() + 1_000)
        yield* soon
      })
      const appendOne = (minFreeDiskBytes: number) => {
        const file = freshFile()
        return withTable(
          file,
          ({ table }) =>
            Effect.gen(function* () {
              yield* table.append([block!])
              const atOnce = rowsWithoutLog(file)
              yield* secondLater
              const later = rowsWithoutLog(file)
              // Idle again, until the next change.
              yield* table.append([other!])
              yield* secondLater
              return [atOnce, later, rowsWithoutLog(file)]
            }),
          minFreeDiskBytes
        ).pipe(Effect.withClock(clock))
      }
      assert.deepStrictEqual(yield* appendOne(64 * megabytes), [0, 1, 2])
      // Of a disk that is to keep 20 kB free the log may take 10.
      assert.deepStrictEqual(yield* appendOne(20_000), [1, 1, 2])
    })
  )

  it.live("is part of the size on disk", () => {
    const file = freshFile()
    return withTable(file, ({ table }) =>
      Effect.gen(function* () {
        yield* table.append(yield* Effect.promise(() => blocks))
        const { bytesOnDisk } = yield* table.totals
        assert.strictEqual(bytesOnDisk, statSync(file).size + statSync(`${file}-wal`).size)
      })
    )
  })
})

describe("the table of blocks", () => {
  it.live("ends the program when it comes upon damage, once, and has the next start check the file", () => {
    const file = freshFile()
    const damage = new Damaged("a page is not what was written")
    return withTable(file, ({ fatal, logs, table }) =>
      Effect.gen(function* () {
        const failure = (cause: unknown) =>
          Effect.flip(
            table.change("do something", () => {
              throw cause
            })
          )
        assert.strictEqual((yield* failure(new Error("no damage")))._tag, "StoreError")
        assert.isTrue(Option.isNone(yield* Deferred.poll(fatal)))
        assert.isFalse(existsSync(`${file}.suspect`))
        for (let time = 0; time < 2; time++) assert.strictEqual((yield* failure(damage)).cause, damage)
        assert.isTrue(existsSync(`${file}.suspect`))
        const error = yield* Effect.flip(Deferred.await(fatal))
        assert.strictEqual(error.message, "the store failed to do something")
        assert.lengthOf(
          logs.filter((line) => line.includes("the store's file is damaged; ending")),
          1
        )
      })
    )
  })

  it.live("refuses while the disk has less than its reserve, and when it is full, and says what to do", () =>
    Effect.gen(function* () {
      const [block] = yield* Effect.promise(() => blocks)
      yield* withTable(
        freshFile(),
        ({ table }) =>
          Effect.gen(function* () {
            for (const refused of [table.append([block!]), table.ready]) {
              assert.deepInclude(yield* Effect.flip(refused), {
                _tag: "StoreFull",
                detail: "Not stored: the server's disk is nearly full. Please retry later",
                retryAfterSeconds: 300
              })
            }
            assert.deepInclude(yield* table.totals, { blocks: 0, lastReceivedMs: undefined })
          }),
        2 ** 52
      )
      yield* withTable(freshFile(), ({ table }) =>
        Effect.gen(function* () {
          yield* table.change("leave no room", (db) => {
            db.pragma(`max_page_count = ${numberIn(db, "PRAGMA page_count")}`)
          })
          const many = Array.from({ length: 50 }, (_, n) => ({ ...block!, sha256: Buffer.alloc(32, n) }))
          assert.deepInclude(yield* Effect.flip(table.append(many)), {
            _tag: "StoreFull",
            detail: "Not stored: the server's disk is full. Please retry later",
            retryAfterSeconds: 300
          })
          assert.deepInclude(yield* table.totals, { blocks: 0 })
        })
      )
    })
  )

  it.live("changes all or nothing", () =>
    withTable(freshFile(), ({ table }) =>
      Effect.gen(function* () {
        const [block] = yield* Effect.promise(() => blocks)
        yield* table.append([block!])
        yield* Effect.flip(
          table.change("fail in the midst", (db) => {
            db.exec("DELETE FROM block")
            throw new Error("no")
          })
        )
        assert.deepInclude(yield* table.totals, { blocks: 1, installations: 1 })
        assert.strictEqual(yield* table.change("give", () => 5), 5)
      })
    )
  )

  it.live("takes a duplicate for contact, and keeps which heat pump a block is of", () =>
    Effect.gen(function* () {
      const [one, two, three] = yield* Effect.promise(() => blocks)
      const { clock, jumpTo } = makeJumpingClock(nowMs)
      yield* withTable(freshFile(), ({ table }) =>
        Effect.gen(function* () {
          const heatpumps = [{ ...one!, heatpumpId: "hp-1" }, { ...two!, heatpumpId: undefined }, three!]
          assert.deepStrictEqual(yield* table.append(heatpumps), ["stored", "stored", "stored"])
          const ids = yield* table.change("look", (db) => db.prepare("SELECT heatpump_id AS id FROM block").all())
          assert.deepStrictEqual(ids, [{ id: "hp-1" }, { id: null }, { id: null }])
          yield* jumpTo(nowMs + 5_000)
          assert.deepStrictEqual(yield* table.append([one!]), ["duplicate"])
          const contact = (block: Block) => Effect.map(table.lastContactMs(block.installationId), Option.getOrUndefined)
          assert.deepStrictEqual([yield* contact(one!), yield* contact(two!)], [nowMs + 5_000, nowMs])
          assert.deepStrictEqual(yield* table.activeIds(nowMs + 5_000), [one!.installationId])
          assert.lengthOf(yield* table.activeIds(nowMs), 3)
          assert.strictEqual((yield* table.totals).lastReceivedMs, nowMs + 5_000)
        })
      ).pipe(Effect.withClock(clock))
    })
  )

  it.live("tends to itself again after a failure", () =>
    withTable(freshFile(), ({ logs, table }) =>
      Effect.gen(function* () {
        let turns = 0
        const third = yield* Deferred.make<void>()
        const task = Effect.suspend(() => {
          turns++
          return turns === 1
            ? Effect.fail(new StoreError({ operation: "tidy up", cause: new Error("the disk is full") }))
            : turns === 2
              ? Effect.die("a mistake of ours")
              : Deferred.succeed(third, undefined)
        })
        yield* table.upkeep(task, Schedule.spaced(Duration.millis(1)))
        yield* Deferred.await(third)
        assert.lengthOf(
          logs.filter((line) => line.includes("the store's upkeep failed; trying again later")),
          2
        )
      })
    )
  )

  it.live("erases again what a restored backup brings back, and knows the oldest sample that is left", () =>
    Effect.gen(function* () {
      const file = freshFile()
      const backup = `${file}.backup`
      const [one, ...others] = yield* Effect.promise(() => blocks)
      const old = others.map((block) => ({ ...block, firstTimestampMs: nowMs - 5_000 }))
      yield* withTable(file, ({ table }) => table.append([{ ...one!, firstTimestampMs: 7 }, ...old]))
      copyFileSync(file, backup)
      yield* withTable(file, ({ logs, table }) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* table.oldestMs, 7)
          assert.strictEqual(yield* table.erase(one!.installationId), 1)
          assert.strictEqual(yield* table.oldestMs, nowMs - 5_000)
          assert.deepStrictEqual(logs, [])
        })
      )
      copyFileSync(backup, file)
      yield* withTable(file, ({ logs, table }) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(
            (yield* table.installations).map(({ id }) => id),
            others.map(({ installationId }) => installationId)
          )
          assert.lengthOf(logs, 1)
          assert.include(logs[0], "erased a home again that a restored backup had brought back")
          assert.deepStrictEqual(yield* table.append([one!]), ["erased"])
        })
      )
    })
  )

  it.live("has no oldest sample, contact or model at first", () =>
    withTable(freshFile(), ({ table }) =>
      Effect.gen(function* () {
        const home = installationOf(1)
        assert.isUndefined(yield* table.oldestMs)
        assert.deepStrictEqual(
          [yield* table.lastContactMs(home), yield* table.lastModel(home)],
          [Option.none(), Option.none()]
        )
        assert.deepStrictEqual(yield* table.activeIds(0), [])
      })
    )
  )

  it.live("names and deletes what repairs have set aside", () => {
    const file = freshFile()
    return withTable(file, ({ table }) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* table.damagedFiles, [])
        const names = ["telemetry.sqlite.damaged-1", "telemetry.sqlite.damaged-1-wal"]
        for (const name of [...names].reverse()) copyFileSync(file, join(file, "..", name))
        copyFileSync(file, join(file, "..", "telemetry.sqlite.bak"))
        assert.deepStrictEqual(yield* table.damagedFiles, names)
        yield* table.deleteDamagedFiles
        assert.deepStrictEqual(yield* table.damagedFiles, [])
        assert.isTrue(existsSync(`${file}.bak`))
      })
    )
  })

  it.live("leaves no byte of an erased home, not even while others read; they keep it until they have ended", () =>
    Effect.gen(function* () {
      const file = freshFile()
      const [one, two] = yield* Effect.promise(() => blocks)
      yield* withTable(file, ({ table }) =>
        Effect.gen(function* () {
          yield* table.append([one!, two!])
          const bytes = () => Buffer.concat([readFileSync(file), readFileSync(`${file}-wal`)])
          const remains = () =>
            [one!.gzippedLines.subarray(-40), Buffer.from(one!.installationId)].map((part) => bytes().includes(part))
          assert.deepStrictEqual(remains(), [true, true])
          const reader = new Database(file)
          reader.exec("BEGIN")
          reader.prepare("SELECT count(*) FROM block").all()
          const error = yield* Effect.flip(Effect.withClock(table.erase(one!.installationId), makeFastClock(1_000)))
          assert.include(String(error.cause), "another program is reading the store; erase again when it has ended")
          assert.deepStrictEqual(remains(), [true, true])
          assert.deepStrictEqual(yield* table.append([one!]), ["erased"])
          assert.strictEqual(yield* table.change("ask", (db) => numberIn(db, "PRAGMA busy_timeout")), 1_000)
          reader.exec("COMMIT")
          reader.close()
          assert.strictEqual(yield* table.erase(one!.installationId), 0)
          assert.deepStrictEqual(remains(), [false, false])
          assert.strictEqual(statSync(`${file}-wal`).size, 0)
          assert.deepInclude(yield* table.totals, {
            installations: 1,
            blocks: 1,
            records: two!.records,
            samples: two!.samples
          })
        })
      )
    })
  )

  it.live("gives space back while more than half of it is free, and at once when a home is erased", () =>
    Effect.gen(function* () {
      const { clock, jumpTo } = makeJumpingClock(nowMs)
      const [block] = yield* Effect.promise(() => blocks)
      const large = (n: number) => ({ ...block!, sha256: Buffer.alloc(32, n), gzippedLines: Buffer.alloc(100_000, n) })
      yield* withTable(freshFile(), ({ table }) =>
        Effect.gen(function* () {
          const pages = (pragma: string) => table.change("count", (db) => numberIn(db, `PRAGMA ${pragma}`))
          const secondLater = Effect.gen(function* () {
            yield* soon
            yield* jumpTo(clock.unsafeCurrentTimeMillis() + 1_000)
            yield* soon
          })
          yield* table.append(Array.from({ length: 40 }, (_, n) => large(n)))
          const all = yield* pages("page_count")
          assert.strictEqual(yield* table.remove("id <= ?", 10), 10)
          yield* secondLater
          assert.strictEqual(yield* pages("page_count"), all)
          assert.isAbove(yield* pages("freelist_count"), 50)
          yield* table.remove("id <= ?", 30)
          yield* secondLater
          assert.isBelow(yield* pages("page_count"), all / 2)
          assert.strictEqual(yield* pages("freelist_count"), 0)
          yield* table.remove("id = ?", 31)
          assert.isAbove(yield* pages("freelist_count"), 0)
          yield* table.erase(installationOf(7))
          assert.strictEqual(yield* pages("freelist_count"), 0)
        })
      ).pipe(Effect.withClock(clock))
    })
  )
})
