import { copyFileSync, existsSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import Database from "libsql"
import { numberIn } from "../../src/store/Sqlite.js"
import { blocks, freshFiles, nowMs, soon, withTable } from "../support/blockTables.js"
import { makeFastClock, makeJumpingClock } from "../support/clock.js"
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
