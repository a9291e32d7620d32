import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Option } from "effect"
import { countTurns } from "../support/clock.js"
import { blockOf, freshJournals, opened, sizeOf, startMs, sum } from "../support/journal.js"

const options = freshJournals()

describe("the journal", () => {
  it("refuses what would go beyond its capacity, and is not ready from 99 % on", () => {
    const blocks = [0, 1, 2].map((number) => blockOf(1, number, 400))
    const bytes = sum(blocks.map(sizeOf))
    const fill = (maxBytes: number) =>
      opened(options({ maxBytes })).run((journal) =>
        Effect.gen(function* () {
          const ready = Effect.map(Effect.either(journal.ready), ({ _tag }) => _tag === "Right")
          assert.isTrue(yield* ready)
          const outcome = yield* Effect.either(journal.append(blocks))
          return { outcome, isReady: yield* ready, maxBytes: journal.maxBytes, held: journal.heldBytes() }
        })
      )
    return Effect.promise(async () => {
      const exact = await fill(bytes)
      assert.deepStrictEqual(exact.outcome, Either.right(["stored", "stored", "stored"]))
      assert.deepInclude(exact, { isReady: false, maxBytes: bytes, held: bytes })
      assert.isTrue((await fill(bytes / 0.99 + 1)).isReady)
      const { held, isReady, outcome } = await fill(bytes - 1)
      assert.deepStrictEqual([held, isReady], [0, true])
      const refusal = Either.getOrThrow(Either.flip(outcome))
      if (refusal._tag !== "StoreFull") throw refusal
      assert.match(refusal.detail, /^Not stored: the server's journal is full, .* Please retry later$/)
      assert.strictEqual(refusal.retryAfterSeconds, 300)
    }).pipe(Effect.runPromise)
  })

  it("gives every block of a home a time of its own, however many come at once", () =>
    opened(options()).run((journal) =>
      Effect.gen(function* () {
        // The series of activity keeps one sample per millisecond, and says how much a home has sent.
        yield* journal.append(Array.from({ length: 1_500 }, (_, number) => blockOf(1, number)))
        const times = (yield* journal.next(0, 2_000)).map(({ activityAtMs }) => activityAtMs)
        assert.deepStrictEqual(
          times,
          Array.from({ length: 1_500 }, (_, i) => startMs + i)
        )
      })
    ))

  it("says once that something has arrived, and that there is something to begin with", () =>
    opened(options()).run((journal) =>
      Effect.gen(function* () {
        const hasArrived = journal.arrival.pipe(Effect.timeoutOption("20 millis"), Effect.map(Option.isSome))
        assert.deepStrictEqual([yield* hasArrived, yield* hasArrived], [true, false])
        yield* journal.append([blockOf(1, 1)])
        assert.deepStrictEqual([yield* hasArrived, yield* hasArrived], [true, false])
        yield* journal.again
        assert.deepStrictEqual([yield* hasArrived, yield* hasArrived, journal.revision()], [true, false, 1])
        yield* journal.resendQuarantined
        assert.isTrue(yield* hasArrived)
      })
    ))

  it("lets one in at a time who sends or erases", () =>
    opened(options()).run((journal) =>
      Effect.gen(function* () {
        const order: Array<string> = []
        const work = (name: string) =>
          journal.exclusively(
            Effect.gen(function* () {
              order.push(`${name} begins`)
              yield* Effect.yieldNow()
              order.push(`${name} ends`)
            })
          )
        yield* Effect.all([work("a"), work("b")], { concurrency: "unbounded" })
        assert.deepStrictEqual(order, ["a begins", "a ends", "b begins", "b ends"])
      })
    ))

  it("confirms many blocks, and large ones, in several transactions", () => {
    const { clock, run } = opened(options({ maxBytes: 2 ** 26 }))
    const blocks = [
      ...Array.from({ length: 230 }, (_, number) => blockOf(number % 2, number)),
      ...Array.from({ length: 4 }, (_, i) => ({ ...blockOf(2, i), gzippedLines: Buffer.alloc(600_000, i) }))
    ]
    return run((journal) =>
      Effect.gen(function* () {
        yield* journal.append(blocks)
        const ids = (yield* journal.next(0, 1000)).map(({ id }) => id)
        assert.lengthOf(ids, blocks.length)
        const confirmed = yield* countTurns(journal.confirm(ids.slice(0, -1)))
        assert.isAtLeast(confirmed.turns, 4)
        assert.strictEqual(journal.heldBytes(), 600_000)
        assert.deepStrictEqual(
          (yield* journal.next(0, 1000)).map(({ id }) => id),
          ids.slice(-1)
        )
        assert.strictEqual((yield* journal.activity(clock.nowMs())).blocks, blocks.length)
        yield* journal.confirm([])
      })
    )
  })

  it("looks at a hundred of the ids to confirm at a time, however many there are", () =>
    opened(options()).run((journal) =>
      Effect.gen(function* () {
        yield* journal.append([blockOf(1, 1), blockOf(1, 2)])
        const [first, last] = (yield* journal.next(0, 2)).map(({ id }) => id)
        // Of blocks that have been erased meanwhile.
        const gone = Array.from({ length: 10_000 }, (_, i) => last! + 1 + i)
        const { turns } = yield* countTurns(journal.confirm([first!, ...gone, last!]))
        assert.isAtLeast(turns, 100)
        assert.strictEqual(journal.heldBytes(), 0)
      })
    ))

  it("sums up what waits without reading its rows", async () => {
    const { run } = opened(options({ maxBytes: 2 ** 26 }))
    // A page of the file each, more of them than SQLite keeps in memory.
    const count = 1_500
    const bytes = 14_000
    await run((journal) =>
      Effect.forEach(Array.from({ length: 15 }), (_, batch) =>
        journal.append(
          Array.from({ length: 100 }, (_, i) => ({ ...blockOf(1, batch * 100 + i), gzippedLines: Buffer.alloc(bytes) }))
        )
      )
    )
    const bytesRead = () => Number(/^rchar: (\d+)$/m.exec(readFileSync("/proc/thread-self/io", "utf8"))![1])
    await run((journal) =>
      Effect.gen(function* () {
        const before = bytesRead()
        const waiting = yield* journal.waiting(0)
        assert.isBelow(bytesRead() - before, 500_000)
        assert.deepInclude(waiting, { blocks: count, bytes: count * bytes })
      })
    )
  })

  it("knows a confirmed block for thirty days, and forgets it within an hour after", async () => {
    const given = options()
    const dayMs = 86_400_000
    const { clock, run } = opened(given)
    const block = blockOf(1, 1)
    await run((journal) =>
      Effect.gen(function* () {
        yield* journal.append([block])
        yield* journal.confirm((yield* journal.next(0, 1)).map(({ id }) => id))
        const appended = Effect.zipRight(Effect.sleep("20 millis"), journal.append([block]))
        yield* clock.jumpTo(startMs + 30 * dayMs)
        assert.deepStrictEqual(yield* appended, ["duplicate"])
        // The next turn, of an hour, comes upon it.
        yield* clock.jumpTo(startMs + 30 * dayMs + 3_600_000)
        assert.deepStrictEqual(yield* appended, ["stored"])
      })
    )
  })
})
