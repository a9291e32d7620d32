import { copyFileSync, existsSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import Database from "libsql"
import { numberIn } from "../../src/store/Sqlite.js"
import { blocks, freshFiles, megabytes, nowMs, soon, withTable } from "../support/blockTables.js"
import { countTurns, makeFastClock, makeJumpingClock } from "../support/clock.js"
import { eventually } from "../support/embeddedStores.js"
import { installationOf } from "../support/storeHomes.js"

const freshFile = freshFiles()

describe("what is removed from the table of blocks", () => {
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

  it.live("lets all else have its turn between few blocks or pages, and keeps the log short", () =>
    Effect.gen(function* () {
      const file = freshFile()
      const [block] = yield* Effect.promise(() => blocks)
      const numbered = (n: number, bytes: number) => {
        const sha256 = Buffer.alloc(32)
        sha256.writeUInt32LE(n)
        return { ...block!, installationId: installationOf(n % 2), sha256, gzippedLines: Buffer.alloc(bytes, n) }
      }
      const reserve = 4 * megabytes
      yield* withTable(
        file,
        ({ table }) =>
          Effect.gen(function* () {
            for (let from = 0; from < 60; from += 20) {
              yield* table.append(Array.from({ length: 20 }, (_, i) => numbered(from + i, 200_000)))
            }
            yield* table.append(Array.from({ length: 400 }, (_, i) => numbered(60 + i, 100)))
            const few = yield* countTurns(table.remove("id > ?", 60))
            assert.strictEqual(few.result, 400)
            assert.isAtLeast(few.turns, 4)
            const large = yield* countTurns(table.remove("id <= ?", 30))
            assert.strictEqual(large.result, 30)
            assert.isAtLeast(large.turns, 6)
            // Some 360 pages at the file's beginning are free: as many move there from its end.
            let longestLog = 0
            const erased = yield* countTurns(table.erase(installationOf(7)), () => {
              longestLog = Math.max(longestLog, statSync(`${file}-wal`).size)
            })
            assert.isAtLeast(erased.turns, 6)
            assert.isBelow(longestLog, reserve)
            assert.strictEqual(yield* table.change("count", (db) => numberIn(db, "PRAGMA freelist_count")), 0)
          }),
        reserve
      )
    })
  )

  it.live("has erased a home even when another program keeps its space from being given back", () =>
    Effect.gen(function* () {
      const file = freshFile()
      const [one, two] = yield* Effect.promise(() => blocks)
      yield* withTable(file, ({ logs, table }) =>
        Effect.gen(function* () {
          yield* table.append([one!, { ...two!, gzippedLines: Buffer.alloc(megabytes) }])
          yield* table.remove("installation_id = ?", two!.installationId)
          const reader = new Database(file)
          const remains = () => {
            const bytes = Buffer.concat([readFileSync(file), readFileSync(`${file}-wal`)])
            return bytes.includes(one!.gzippedLines.subarray(-40)) || bytes.includes(one!.installationId)
          }
          assert.isTrue(remains())
          const beginsToRead = () => {
            if (reader.inTransaction || remains()) return
            reader.exec("BEGIN")
            reader.prepare("SELECT count(*) FROM block").all()
          }
          const erasing = Effect.withClock(table.erase(one!.installationId), makeFastClock(1_000))
          assert.strictEqual((yield* countTurns(erasing, beginsToRead)).result, 1)
          assert.include(logs.join(), "erased, but not all of its space could be given back yet")
          assert.isFalse(remains())
          reader.close()
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
          yield* eventually(Effect.map(pages("freelist_count"), (free) => free === 0))
          assert.isBelow(yield* pages("page_count"), all / 2)
          yield* table.remove("id = ?", 31)
          assert.isAbove(yield* pages("freelist_count"), 0)
          yield* table.erase(installationOf(7))
          assert.strictEqual(yield* pages("freelist_count"), 0)
        })
      ).pipe(Effect.withClock(clock))
    })
  )
})
