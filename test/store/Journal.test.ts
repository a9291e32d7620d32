/** The journal against a list: what waits, what is held, what counts, under any sequence of operations. */
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Either, Layer, Option } from "effect"
import * as fc from "fast-check"
import type { Block } from "../../src/domain/Block.js"
import { canonicalModel } from "../../src/domain/ModelName.js"
import { Journal, type JournalOptions } from "../../src/store/Journal.js"
import { makeJumpingClock } from "../support/clock.js"
import { installationOf } from "../support/storeContract.js"
import { captureLogs } from "../support/testServer.js"

const root = mkdtempSync(join(tmpdir(), "telemetry-journal-"))
afterAll(() => rmSync(root, { recursive: true }))
let files = 0

const startMs = 1_795_000_000_000
const freshDirectory = () => {
  const directory = join(root, `${files++}`)
  mkdirSync(directory)
  return directory
}
const options = (others: Partial<JournalOptions> = {}): JournalOptions => ({
  file: join(freshDirectory(), "telemetry.sqlite"),
  minFreeDiskBytes: 0,
  maxBytes: 2 ** 20,
  ...others
})

/** `bytes` of noise make it as long. */
const blockOf = (home: number, number: number, bytes = 0): Block => {
  const noise = Buffer.from(Array.from({ length: bytes }, (_, i) => (i * i * 31 + i * (number + 7)) & 255)).toString(
    "hex"
  )
  const installationId = installationOf(home)
  const lines = `heatpump_metrics,installation_id=${installationId},model=M${number % 2},version=v value=${number} ${startMs}\n`
  return {
    installationId,
    heatpumpId: undefined,
    model: canonicalModel(`M${number % 2}`),
    version: "v",
    firstTimestampMs: startMs - number,
    lastTimestampMs: startMs,
    records: 1 + (number % 3),
    samples: 2 * (1 + (number % 3)),
    sha256: createHash("sha256").update(lines).digest(),
    gzippedLines: gzipSync(lines + noise)
  }
}

const opened = (given: JournalOptions) => {
  const clock = makeJumpingClock(startMs)
  const logs = captureLogs()
  return {
    clock,
    logs,
    run: <A, E>(body: (journal: Journal["Type"]) => Effect.Effect<A, E>) =>
      Effect.flatMap(Journal, body).pipe(
        Effect.provide(Layer.provideMerge(Journal.layer(given), logs.layer)),
        Effect.withClock(clock.clock),
        Effect.runPromise
      )
  }
}

interface Row {
  id: number
  readonly block: Block
  readonly activityAtMs: number
  readonly receivedAtMs: number
  state: "waiting" | "quarantined" | "drained"
  reason: string
}

const sizeOf = ({ gzippedLines }: Block) => gzippedLines.length
const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, n) => total + n, 0)
const sumsOf = (rows: ReadonlyArray<Row>) => ({
  blocks: rows.length,
  records: sum(rows.map(({ block }) => block.records)),
  samples: sum(rows.map(({ block }) => block.samples))
})

/** The definition: rows in a list. */
class Reference {
  rows: Array<Row> = []
  readonly erased = new Set<string>()

  held = () => sum(this.rows.filter(({ state }) => state !== "drained").map(({ block }) => sizeOf(block)))
  waiting = (afterId: number) => this.rows.filter(({ id, state }) => state === "waiting" && id > afterId)
  quarantined = () => this.rows.filter(({ state }) => state === "quarantined")
  active = (sinceMs: number) =>
    this.rows.filter(({ activityAtMs, state }) => activityAtMs >= sinceMs || state === "quarantined")

  append(blocks: ReadonlyArray<Block>, nowMs: number) {
    return blocks.map((block) => {
      if (this.erased.has(block.installationId)) return "erased"
      const own = this.rows.filter((row) => row.block.installationId === block.installationId)
      if (own.some((row) => row.block.sha256.equals(block.sha256))) return "duplicate"
      const near = own.map(({ activityAtMs }) => activityAtMs).filter((at) => at >= nowMs && at <= nowMs + 1000)
      const activityAtMs = near.length === 0 ? nowMs : Math.max(...near) + 1
      this.rows.push({
        id: Number.POSITIVE_INFINITY,
        block,
        activityAtMs,
        receivedAtMs: nowMs,
        state: "waiting",
        reason: ""
      })
      return "stored"
    })
  }
}

const home = fc.nat(2)
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constant("append" as const),
      batches: fc.array(fc.tuple(home, fc.nat(9)), { maxLength: 4 })
    })
  },
  {
    weight: 3,
    arbitrary: fc.record({ does: fc.constant("confirm" as const), picks: fc.array(fc.nat(20), { maxLength: 4 }) })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constant("quarantine" as const),
      pick: fc.nat(20),
      reason: fc.constantFrom("400", "422")
    })
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("resend" as const) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("erase" as const), home }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("jump" as const), ms: fc.nat(3_000) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("reopen" as const) }) }
)
type Step = typeof step extends fc.Arbitrary<infer A> ? A : never

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
        yield* journal.confirm(ids.slice(0, -1))
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

  it("behaves like a list of rows under any sequence of operations, over closing and opening", async () => {
    const maxBytes = 12 * sizeOf(blockOf(0, 0))
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 25 }),
        fc.nat(12),
        fc.integer({ min: 1, max: 5 }),
        async (steps, afterId, limit) => {
          const { clock, run } = opened(options({ maxBytes }))
          const reference = new Reference()
          const names = new Set<string>()
          const perform = (journal: Journal["Type"], one: Exclude<Step, { readonly does: "reopen" }>) =>
            Effect.gen(function* () {
              const revision = journal.revision()
              const picked = (picks: ReadonlyArray<number>) =>
                picks.flatMap((pick) => reference.waiting(0)[pick % Math.max(1, reference.waiting(0).length)] ?? [])
              let again = 0
              if (one.does === "append") {
                const blocks = one.batches.map(([home, number]) => blockOf(home, number))
                const isFull = reference.held() + sum(blocks.map(sizeOf)) > maxBytes
                const outcome = yield* Effect.either(journal.append(blocks))
                assert.strictEqual(outcome._tag === "Left", isFull)
                if (outcome._tag === "Right") {
                  assert.deepStrictEqual(outcome.right, reference.append(blocks, clock.nowMs()))
                  // Ids ascend; a duplicate may cost one.
                  const ids = (yield* journal.next(0, 100)).map(({ id }) => id)
                  assert.deepStrictEqual(
                    ids,
                    [...ids].sort((a, b) => a - b)
                  )
                  reference.waiting(0).forEach((row, i) => {
                    if (row.id === Number.POSITIVE_INFINITY) row.id = ids[i]!
                  })
                }
              } else if (one.does === "confirm") {
                const rows = picked(one.picks)
                yield* journal.confirm(rows.map(({ id }) => id))
                for (const row of rows) row.state = "drained"
              } else if (one.does === "quarantine") {
                for (const row of picked([one.pick])) {
                  yield* journal.quarantine(row.id, one.reason)
                  row.state = "quarantined"
                  row.reason = one.reason
                }
              } else if (one.does === "resend") {
                assert.strictEqual(yield* journal.resendQuarantined, reference.quarantined().length)
                for (const row of reference.quarantined()) row.state = "waiting"
                again = 1
              } else if (one.does === "erase") {
                yield* journal.erase(installationOf(one.home))
                reference.erased.add(installationOf(one.home))
                reference.rows = reference.rows.filter(({ block }) => block.installationId !== installationOf(one.home))
                again = 1
              } else yield* clock.jumpTo(clock.nowMs() + one.ms)
              assert.strictEqual(journal.revision(), revision + again)
              assert.strictEqual(journal.heldBytes(), reference.held())
            })
          const compare = (journal: Journal["Type"]) =>
            Effect.gen(function* () {
              const waiting = reference.waiting(afterId)
              const read = yield* journal.next(afterId, limit)
              assert.deepStrictEqual(
                read.map((row) => ({ ...row, gzippedLines: Buffer.from(row.gzippedLines) })),
                waiting.slice(0, limit).map(({ activityAtMs, block, id }) => ({
                  id,
                  installationId: block.installationId,
                  activityAtMs,
                  records: block.records,
                  samples: block.samples,
                  gzippedLines: Buffer.from(block.gzippedLines)
                }))
              )
              const bytes = sum(waiting.map(({ block }) => sizeOf(block)))
              assert.deepStrictEqual(yield* journal.waiting(afterId), { ...sumsOf(waiting), bytes })
              const [oldest] = waiting
              assert.deepStrictEqual(
                yield* journal.oldest(afterId),
                oldest && { receivedAtMs: oldest.receivedAtMs, activityAtMs: oldest.activityAtMs }
              )
              const sinceMs = startMs + 1_000
              const active = reference.active(sinceMs)
              assert.deepStrictEqual(yield* journal.activity(sinceMs), sumsOf(active))
              const of = (id: string) => active.filter(({ block }) => block.installationId === id)
              assert.deepStrictEqual(yield* journal.activity(sinceMs, installationOf(1)), sumsOf(of(installationOf(1))))
              const byInstallation = yield* journal.activityByInstallation(sinceMs)
              assert.sameDeepMembers(
                [...byInstallation],
                [...new Set(active.map(({ block }) => block.installationId))].map((id) => {
                  const { records, samples } = sumsOf(of(id))
                  return { id, records, samples }
                })
              )
              const reasons = ["400", "422"].flatMap((reason) => {
                const { blocks, samples } = sumsOf(reference.quarantined().filter((row) => row.reason === reason))
                return blocks === 0 ? [] : [{ reason, blocks, samples }]
              })
              const quarantined = yield* journal.quarantined
              assert.sameDeepMembers([...quarantined], reasons)
              assert.isTrue(quarantined.every(({ blocks }, i) => i === 0 || blocks <= quarantined[i - 1]!.blocks))
              for (const n of [0, 1, 2]) {
                assert.strictEqual(journal.isErased(installationOf(n)), reference.erased.has(installationOf(n)))
                const own = reference.rows.filter(({ block }) => block.installationId === installationOf(n))
                const newest = own.toSorted((a, b) => b.activityAtMs - a.activityAtMs)[0]
                assert.strictEqual(
                  Option.getOrUndefined(yield* journal.lastModel(installationOf(n))),
                  newest?.block.model
                )
              }
              names.add(journal.collector)
            })
          const openings: Array<Array<Exclude<Step, { readonly does: "reopen" }>>> = [[]]
          for (const one of steps) {
            if (one.does === "reopen") openings.push([])
            else openings.at(-1)!.push(one)
          }
          for (const opening of openings) {
            await run((journal) =>
              Effect.gen(function* () {
                yield* compare(journal)
                for (const one of opening) {
                  yield* perform(journal, one)
                  yield* compare(journal)
                }
              })
            )
          }
          assert.strictEqual(names.size, 1)
          assert.match([...names][0]!, /^[0-9a-f]{16}$/)
        }
      ),
      { numRuns: 25 }
    )
  })
})
