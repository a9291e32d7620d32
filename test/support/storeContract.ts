/**
 * What every implementation of the port `Store` must do; run by each implementation's own test file.
 *
 * Batches of one home never share a timestamp, so that a database that identifies samples by series and time can pass.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer, Option, Stream } from "effect"
import * as fc from "fast-check"
import type { Block } from "../../src/domain/Block.js"
import { InstallationId } from "../../src/domain/InstallationId.js"
import { canonicalModel } from "../../src/domain/ModelName.js"
import { type Appended, Store, type StoredRecord, type TimeRange } from "../../src/store/Store.js"
import { blockOf, blocksOf } from "./blocks.js"
import { type JumpingClock, makeJumpingClock } from "./clock.js"

const startMs = Math.floor(Date.now() / 60_000) * 60_000
const minuteMs = 60_000
const hourMs = 60 * minuteMs

export const installationOf = (n: number) =>
  InstallationId.make(`3f2b8c1e-9a47-4d0e-8b65-${String(n).padStart(12, "0")}`)

/** Batch `number` of a home begins `number` hours after the first, three days ago, and has a record a minute. */
const timestampOf = (number: number, record: number) => startMs - 72 * hourMs + number * hourMs + record * minuteMs

/** `value` is in every record and differs from one batch to the next. */
const bodyOf = (home: number, number: number, records: number) => ({
  installation_id: installationOf(home),
  heatpump_model: "AERO SLM",
  version: "1.0.1",
  data: Array.from({ length: records }, (_, i) => ({
    timestamp: timestampOf(number, i) / 1000,
    temp_outside: -1,
    value: number + i / 8
  }))
})
const batch = (home: number, number: number, records = 3) =>
  Effect.promise(() => blockOf(bodyOf(home, number, records), startMs))

/** What reading gives for it. */
const recordsOf = (number: number, records = 3) =>
  Array.from({ length: records }, (_, i) => ({
    timestampMs: timestampOf(number, i),
    tags: { model: "AERO_SLM", version: "1.0.1" },
    values: { temp_outside: -1, value: number + i / 8 }
  }))

const plain = ({ tags, timestampMs, values }: StoredRecord) => ({
  timestampMs,
  tags: Object.fromEntries(tags),
  values: Object.fromEntries(values)
})

/** In the order in which they come. */
const read = (home: number, range?: TimeRange) =>
  Effect.gen(function* () {
    const store = yield* Store
    return Array.from(yield* Stream.runCollect(store.read(installationOf(home), range)), plain)
  })

/** For tests that do not care for the order. */
const readByTime = (home: number, range?: TimeRange) =>
  Effect.map(read(home, range), (records) => records.sort((a, b) => a.timestampMs - b.timestampMs))

const append = (...blocks: ReadonlyArray<Block>) => Effect.flatMap(Store, (store) => store.append(blocks))

/**
 * @param sequences how many random sequences of operations to try
 * @param relativeError of a number read back
 */
export const storeContract = <E>(
  name: string,
  layer: () => Layer.Layer<Store, E>,
  { relativeError, sequences }: { readonly sequences: number; readonly relativeError: number }
) => {
  const check = <A, F>(title: string, body: (clock: JumpingClock) => Effect.Effect<A, F, Store>) =>
    it.live(`${name}: ${title}`, () => {
      const clock = makeJumpingClock(startMs)
      return Effect.suspend(() => body(clock)).pipe(Effect.provide(layer()), Effect.withClock(clock.clock))
    })

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

  describe("activity", () => {
    check("counts who was heard of in a window, its start included", (clock) =>
      Effect.gen(function* () {
        const store = yield* Store
        yield* append(yield* batch(1, 1))
        yield* clock.jumpTo(startMs + hourMs)
        yield* append(yield* batch(2, 1), yield* batch(3, 1))
        assert.strictEqual(yield* store.activeInstallations(0), 3)
        assert.strictEqual(yield* store.activeInstallations(startMs), 3)
        assert.strictEqual(yield* store.activeInstallations(startMs + 1), 2)
        assert.strictEqual(yield* store.activeInstallations(startMs + hourMs), 2)
        assert.strictEqual(yield* store.activeInstallations(startMs + hourMs + 1), 0)
      })
    )

    check(
      "knows the last contact of each home; a duplicate is contact too, a clock set back changes nothing",
      (clock) =>
        Effect.gen(function* () {
          const store = yield* Store
          const contact = (home: number) => Effect.map(store.lastContactMs(installationOf(home)), Option.getOrUndefined)
          const one = yield* batch(1, 1)
          yield* append(one, yield* batch(2, 1))
          yield* clock.jumpTo(startMs + hourMs)
          yield* append(one)
          yield* clock.jumpTo(startMs - hourMs)
          yield* append(one, yield* batch(1, 2))
          assert.deepStrictEqual(
            [yield* contact(1), yield* contact(2), yield* contact(3)],
            [startMs + hourMs, startMs, undefined]
          )
          assert.strictEqual((yield* store.totals).lastReceivedMs, startMs + hourMs)
          assert.strictEqual(yield* store.activeInstallations(startMs + hourMs), 1)
        })
    )

    check("is none at first, and ready for more", () =>
      Effect.gen(function* () {
        const store = yield* Store
        yield* store.ready
        assert.deepInclude(yield* store.totals, {
          installations: 0,
          blocks: 0,
          records: 0,
          samples: 0,
          lastReceivedMs: undefined
        })
        assert.strictEqual(yield* store.activeInstallations(0), 0)
      })
    )
  })

  describe("models and means", () => {
    const day = { fromMs: startMs - 24 * hourMs, untilMs: startMs }
    const field = (name: string, ...absent: ReadonlyArray<number>) => ({ name, absent })
    const submitted = (home: number, model: string | null, data: ReadonlyArray<object>, version = "1.0.1") =>
      Effect.promise(() =>
        blockOf({ installation_id: installationOf(home), heatpump_model: model, version, data }, startMs)
      )
    const at = (hours: number, values: object) => ({ timestamp: (startMs + hours * hourMs) / 1000, ...values })

    check("knows the model that a home submitted last", (clock) =>
      Effect.gen(function* () {
        const store = yield* Store
        const model = (home: number) => Effect.map(store.lastModel(installationOf(home)), Option.getOrUndefined)
        yield* append(
          yield* submitted(1, "AERO SLM", [at(-1, { a: 1 })]),
          yield* submitted(2, null, [at(-1, { a: 1 })])
        )
        assert.deepStrictEqual([yield* model(1), yield* model(2), yield* model(3)], ["AERO_SLM", "unknown", undefined])
        yield* clock.jumpTo(startMs + hourMs)
        yield* append(yield* submitted(1, "OTHER", [at(-2, { a: 2 })], "1.0.2"))
        assert.strictEqual(yield* model(1), "OTHER")
      })
    )

    check("averages one model's fields by home, in a range, without absent values, over versions", () =>
      Effect.gen(function* () {
        const store = yield* Store
        yield* append(
          yield* submitted(1, "AERO SLM", [at(-24, { a: 1, b: 10 }), at(-3, { a: 2, b: -1 }), at(-2, { a: 6 })]),
          yield* submitted(1, "AERO SLM", [at(-1, { a: 7, b: 65_535 }), at(-25, { a: 1000 })], "1.0.2"),
          yield* submitted(2, "AERO_SLM", [at(-1, { b: -1 }), at(0, { a: 5 })]),
          yield* submitted(3, "AERO", [at(-1, { a: 50 })]),
          yield* submitted(4, "AERO SLM", [at(-1, { a: 0.5 }), at(-0.5, { a: 1 })])
        )
        const query = {
          model: canonicalModel("AERO SLM"),
          fields: [field("a", -1), field("b", -1, 65_535), field("c")]
        }
        const means = (range: { readonly fromMs: number; readonly untilMs: number }) =>
          Effect.map(store.means({ ...query, ...range }), (found) =>
            Object.fromEntries([...found].map(([id, fields]) => [id, Object.fromEntries(fields)]))
          )
        const expected = { [installationOf(1)]: { a: 4, b: 10 }, [installationOf(4)]: { a: 0.75 } }
        assert.deepStrictEqual(yield* means(day), expected)
        assert.deepStrictEqual(yield* means({ fromMs: startMs, untilMs: startMs + 1 }), {
          [installationOf(2)]: { a: 5 }
        })
        assert.deepStrictEqual(yield* store.means({ ...query, ...day, model: canonicalModel("NONE") }), new Map())
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
