import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit } from "effect"
import Database from "libsql"
import type { Block } from "../../src/domain/Block.js"
import { Store } from "../../src/store/Store.js"
import { makeJumpingClock } from "../support/clock.js"
import { freshDirectories } from "../support/directories.js"
import {
  append,
  blockAt,
  dayMs,
  eventually,
  nowMs,
  opened,
  options,
  totals,
  valuesOf,
  wait
} from "../support/embeddedStores.js"
import { installationOf } from "../support/storeHomes.js"

const freshDirectory = freshDirectories()

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
