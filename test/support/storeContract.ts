/** What every implementation of the port `Store` must do; run by each implementation's own test file. */
import { assert, describe } from "@effect/vitest"
import { Effect, type Layer, Option, Stream } from "effect"
import { Store, type TimeRange } from "../../src/store/Store.js"
import { blockOf, blocksOf } from "./blocks.js"
import {
  append,
  batch,
  checkOn,
  installationOf,
  plain,
  read,
  readByTime,
  recordsOf,
  startMs,
  timestampOf
} from "./storeHomes.js"
import { storeQuestions } from "./storeQuestions.js"
import { storeSequences } from "./storeSequences.js"

/**
 * @param sequences how many random sequences of operations to try
 * @param relativeError of a number read back
 */
export const storeContract = <E>(
  name: string,
  layer: () => Layer.Layer<Store, E>,
  { relativeError, sequences }: { readonly sequences: number; readonly relativeError: number }
) => {
  const check = checkOn(name, layer)

  describe("append and read", () => {
    check("gives back every number, flags as 1 and 0, enums as their value", () =>
      Effect.gen(function* () {
        const numbers = { a: 5.1, b: 1 / 3, c: -40.25, d: 1e-19, e: 9_999_999_999_999, f: 0, g: 0.1 + 0.2, h: 65_536 }
        const others = {
          on: true,
          off: false,
          mode: { value: 3, text: "AUTOMATIC" },
          mode_str: "AUTOMATIC",
          none: null
        }
        const body = (record: object) => ({ installation_id: installationOf(1), data: [record] })
        const first = { timestamp: startMs / 1000, ...numbers, ...others }
        const block = yield* Effect.promise(() => blockOf(body(first), startMs))
        assert.deepStrictEqual(yield* append(block), ["stored"])
        const expected = { ...numbers, on: 1, off: 0, mode: 3 }
        const [record, ...more] = yield* read(1)
        assert.isEmpty(more)
        assert.strictEqual(record!.timestampMs, startMs)
        assert.deepStrictEqual(record!.tags, { model: "unknown", version: "unknown" })
        assert.hasAllKeys(record!.values, expected)
        for (const [name, value] of Object.entries(expected)) {
          assert.isAtMost(Math.abs(record!.values[name]! - value), Math.abs(value) * relativeError, name)
        }
      })
    )

    check("gives every record once, whatever the order in which they came", () =>
      Effect.gen(function* () {
        const late = yield* batch(1, 9)
        const early = yield* batch(1, 2)
        assert.deepStrictEqual(yield* append(late, early), ["stored", "stored"])
        yield* append(yield* batch(1, 5))
        assert.deepStrictEqual(
          yield* readByTime(1),
          [2, 5, 9].flatMap((number) => recordsOf(number))
        )
        assert.deepStrictEqual(yield* read(2), [])
      })
    )

    check("keeps the heat pumps of one home apart, and counts their records singly", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const pump = (id: string, model: string, value: number) => ({
          id,
          manufacturer: "idm",
          model,
          values: { value }
        })
        const heatpumps = [pump("hp-1", "navigator 2", 1), pump("hp-2", "", 2)]
        const data = [{ timestamp: startMs / 1000, heatpumps }]
        const body = { installation_id: installationOf(1), heatpump_model: "AERO SLM", version: "2.0", data }
        assert.deepStrictEqual(yield* append(...(yield* Effect.promise(() => blocksOf(body, startMs)))), [
          "stored",
          "stored"
        ])
        const record = (heatpump_id: string, model: string, value: number) => ({
          timestampMs: startMs,
          tags: { model, version: "2.0", heatpump_id, manufacturer: "idm" },
          values: { value }
        })
        const records = (yield* read(1)).sort((a, b) => a.values.value! - b.values.value!)
        assert.deepStrictEqual(records, [record("hp-1", "navigator_2", 1), record("hp-2", "AERO_SLM", 2)])
        assert.deepInclude(yield* store.totals, { installations: 1, blocks: 2, records: 2, samples: 2 })
      })
    )

    check("reads a range to the millisecond, its start included and its end not", () =>
      Effect.gen(function* () {
        yield* append(yield* batch(1, 0, 10), yield* batch(1, 1, 10), yield* batch(1, 2, 10))
        const values = (range: TimeRange) => Effect.map(readByTime(1, range), (all) => all.map((r) => r.values.value))
        const fromMs = timestampOf(0, 8)
        const untilMs = timestampOf(1, 2)
        assert.deepStrictEqual(yield* values({ fromMs, untilMs }), [1, 1.125, 1, 1.125])
        assert.deepStrictEqual(yield* values({ fromMs: fromMs + 1, untilMs: untilMs + 1 }), [1.125, 1, 1.125, 1.25])
        assert.deepStrictEqual(yield* values({ fromMs: timestampOf(2, 9) }), [3.125])
        assert.deepStrictEqual(yield* values({ untilMs: timestampOf(0, 1) }), [0])
        assert.deepStrictEqual(yield* values({ fromMs, untilMs: fromMs }), [])
      })
    )

    check("reads many blocks without gap or repetition, and no more than is asked for", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const numbers = Array.from({ length: 60 }, (_, number) => number)
        for (const number of numbers) yield* append(yield* batch(1, number, 2))
        const all = numbers.flatMap((number) => recordsOf(number, 2))
        assert.deepStrictEqual(yield* readByTime(1), all)
        // Blocks on either side of the range are left out while paging.
        const range = { fromMs: timestampOf(20, 0), untilMs: timestampOf(45, 0) }
        assert.deepStrictEqual(yield* readByTime(1, range), all.slice(40, 90))
        const taken = yield* Stream.runCollect(Stream.take(store.read(installationOf(1)), 5))
        assert.includeDeepMembers(all, Array.from(taken, plain))
        assert.lengthOf(taken, 5)
      })
    )
  })

  describe("duplicates", () => {
    check("are told apart in one call, over calls, and from the same samples of another home", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const one = yield* batch(1, 1)
        const two = yield* batch(2, 1)
        const three = yield* batch(1, 2)
        assert.deepStrictEqual(yield* append(one, one, two), ["stored", "duplicate", "stored"])
        assert.deepStrictEqual(yield* append(two, three, one, three), ["duplicate", "stored", "duplicate", "duplicate"])
        assert.deepStrictEqual(yield* append(), [])
        assert.deepStrictEqual(yield* readByTime(1), [...recordsOf(1), ...recordsOf(2)])
        assert.deepStrictEqual(yield* readByTime(2), recordsOf(1))
        assert.deepInclude(yield* store.totals, { installations: 2, blocks: 3, records: 9, samples: 18 })
      })
    )

    check("are found when the same batch comes several times at once", () =>
      Effect.gen(function* () {
        const blocks = yield* Effect.forEach([0, 1, 2, 3], (number) => batch(1, number))
        const attempts = Array.from({ length: 16 }, (_, i) => blocks[i % 4]!)
        const outcomes = yield* Effect.forEach(attempts, (block) => append(block), { concurrency: "unbounded" })
        assert.lengthOf(
          outcomes.flat().filter((outcome) => outcome === "stored"),
          4
        )
        assert.deepStrictEqual(
          yield* readByTime(1),
          [0, 1, 2, 3].flatMap((number) => recordsOf(number))
        )
      })
    )
  })

  describe("erase", () => {
    check("leaves nothing of one home and everything of the others; what comes of it later is refused", () =>
      Effect.gen(function* () {
        const store = yield* Store
        for (let number = 0; number < 5; number++) yield* append(yield* batch(1, number), yield* batch(2, number))
        assert.strictEqual(yield* store.erase(installationOf(1)), 5)
        assert.deepStrictEqual(yield* read(1), [])
        assert.deepStrictEqual(yield* store.lastContactMs(installationOf(1)), Option.none())
        assert.strictEqual(yield* store.activeInstallations(0), 1)
        assert.deepInclude(yield* store.totals, { installations: 1, blocks: 5, records: 15, samples: 30 })
        assert.strictEqual(yield* store.erase(installationOf(1)), 0)
        assert.deepStrictEqual(yield* append(yield* batch(1, 0), yield* batch(2, 0), yield* batch(3, 0)), [
          "erased",
          "duplicate",
          "stored"
        ])
        assert.deepStrictEqual(yield* read(1), [])
        assert.isFalse(yield* store.knows(installationOf(1)))
        assert.isTrue(yield* store.knows(installationOf(2)))
        assert.deepStrictEqual(
          (yield* store.installations).map(({ id, records, samples }) => [id, records, samples]),
          [
            [installationOf(2), 15, 30],
            [installationOf(3), 3, 6]
          ]
        )
        assert.deepStrictEqual(
          yield* readByTime(2),
          [0, 1, 2, 3, 4].flatMap((number) => recordsOf(number))
        )
      })
    )
  })

  storeQuestions(name, layer)
  storeSequences(name, layer, sequences)
}
