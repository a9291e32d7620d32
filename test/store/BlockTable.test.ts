import { copyFileSync, existsSync, statSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Option, Schedule } from "effect"
import type { Block } from "../../src/domain/Block.js"
import { Damaged, numberIn } from "../../src/store/Sqlite.js"
import { StoreError } from "../../src/store/Store.js"
import { blocks, freshFiles, megabytes, nowMs, rowsWithoutLog, soon, withTable } from "../support/blockTables.js"
import { makeJumpingClock } from "../support/clock.js"
import { installationOf } from "../support/storeHomes.js"

const freshFile = freshFiles()

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
})
