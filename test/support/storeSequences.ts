/** Any sequence of operations on a store, against a map of what it should hold. */
import { assert, it } from "@effect/vitest"
import { Effect, type Layer, Option } from "effect"
import * as fc from "fast-check"
import { type Appended, Store } from "../../src/store/Store.js"
import { blockOf } from "./blocks.js"
import { makeJumpingClock } from "./clock.js"
import { append, bodyOf, hourMs, installationOf, readByTime, recordsOf, startMs, timestampOf } from "./storeHomes.js"

const homes = [0, 1, 2]
const home = fc.constantFrom(...homes)
const recordsIn = (number: number) => 1 + (number % 3)
const edge = fc.tuple(fc.nat(6), fc.nat(2)).map(([number, record]) => timestampOf(number, record))
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("append" as const),
      batches: fc.array(fc.tuple(home, fc.nat(5)), { minLength: 1, maxLength: 4 })
    })
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("erase" as const), home }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("read" as const), home, fromMs: edge, untilMs: edge }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("jump" as const), ms: fc.nat(2 * hourMs) }) }
)

/** @param sequences how many to try */
export const storeSequences = <E>(name: string, layer: () => Layer.Layer<Store, E>, sequences: number) => {
  it(`${name}: behaves like a map under any sequence of appends, repetitions, erasures and reads`, async () => {
    const blocks = await Promise.all(
      homes.map((home) =>
        Promise.all([0, 1, 2, 3, 4, 5].map((number) => blockOf(bodyOf(home, number, recordsIn(number)), startMs)))
      )
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), (steps) => {
        const clock = makeJumpingClock(startMs)
        return Effect.gen(function* () {
          const store = yield* Store
          const erasedHomes = new Set<number>()
          const model = new Map<number, { readonly numbers: Set<number>; contactMs: number }>()
          const expected = (home: number, fromMs = 0, untilMs = Number.POSITIVE_INFINITY) =>
            [...(model.get(home)?.numbers ?? [])]
              .sort((a, b) => a - b)
              .flatMap((number) => recordsOf(number, recordsIn(number)))
              .filter(({ timestampMs }) => timestampMs >= fromMs && timestampMs < untilMs)

          for (const step of steps) {
            if (step.do === "append") {
              const outcomes = step.batches.map(([home, number]): Appended => {
                if (erasedHomes.has(home)) return "erased"
                const entry = model.get(home) ?? { numbers: new Set(), contactMs: 0 }
                const isKnown = entry.numbers.has(number)
                entry.numbers.add(number)
                entry.contactMs = clock.nowMs()
                model.set(home, entry)
                return isKnown ? "duplicate" : "stored"
              })
              assert.deepStrictEqual(
                yield* append(...step.batches.map(([home, number]) => blocks[home]![number]!)),
                outcomes
              )
            } else if (step.do === "erase") {
              const erased = yield* store.erase(installationOf(step.home))
              assert.strictEqual(erased, model.get(step.home)?.numbers.size ?? 0)
              model.delete(step.home)
              erasedHomes.add(step.home)
            } else if (step.do === "read") {
              const { fromMs, home, untilMs } = step
              assert.deepStrictEqual(yield* readByTime(home, { fromMs, untilMs }), expected(home, fromMs, untilMs))
            } else {
              yield* clock.jumpTo(clock.nowMs() + step.ms)
            }
          }
          for (const home of homes) {
            assert.deepStrictEqual(yield* readByTime(home), expected(home))
            const contact = yield* store.lastContactMs(installationOf(home))
            assert.strictEqual(Option.getOrUndefined(contact), model.get(home)?.contactMs)
          }
          const contacts = [...model.values()].map(({ contactMs }) => contactMs)
          const sinceMs = startMs + hourMs
          const active = contacts.filter((contactMs) => contactMs >= sinceMs).length
          assert.strictEqual(yield* store.activeInstallations(sinceMs), active)
          const records = homes.flatMap((home) => expected(home))
          assert.deepInclude(yield* store.totals, {
            installations: model.size,
            blocks: [...model.values()].reduce((sum, { numbers }) => sum + numbers.size, 0),
            records: records.length,
            samples: 2 * records.length,
            lastReceivedMs: contacts.length === 0 ? undefined : Math.max(...contacts)
          })
        }).pipe(Effect.provide(layer()), Effect.withClock(clock.clock), Effect.runPromise)
      }),
      { numRuns: sequences }
    )
  })
}
