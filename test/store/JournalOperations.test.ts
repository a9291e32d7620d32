/** The journal against a list: what waits, what is held, what counts, under any sequence of operations. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as fc from "fast-check"
import type { Block } from "../../src/domain/Block.js"
import type { Journal } from "../../src/store/Journal.js"
import { blockOf, freshJournals, opened, sizeOf, startMs, sum } from "../support/journal.js"
import { installationOf } from "../support/storeHomes.js"

const options = freshJournals()

interface Row {
  id: number
  readonly block: Block
  readonly activityAtMs: number
  readonly receivedAtMs: number
  state: "waiting" | "quarantined" | "drained"
  reason: string
}

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
      const near = own.map(({ activityAtMs }) => activityAtMs).filter((at) => at >= nowMs && at <= nowMs + 86_400_000)
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
