/** What every implementation of the port `Store` must do; run by each implementation's own test file. */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Either, type Layer, Option, Stream, TestClock } from "effect"
import * as fc from "fast-check"
import { InstallationId } from "../../src/domain/InstallationId.js"
import { Store, type StoredRecord } from "../../src/store/Store.js"
import { blocksOf } from "./blocks.js"

const startMs = Date.parse("2026-11-24T12:00:00Z")
const minuteMs = 60_000

export const installationOf = (n: number) =>
  InstallationId.make(`3f2b8c1e-9a47-4d0e-8b65-${String(n).padStart(12, "0")}`)

/** Records a minute apart from `startMs - ageMs`; `value` is in every one, so batches are told apart by it. */
const batch = (installation: number, value: number, records = 3, ageMs = 60 * minuteMs) =>
  Effect.promise(() =>
    blocksOf(
      {
        installation_id: installationOf(installation),
        heatpump_model: "AERO SLM",
        version: "1.0.1",
        data: Array.from({ length: records }, (_, i) => ({
          timestamp: (startMs - ageMs + i * minuteMs) / 1000,
          temp_outside: -1,
          value: value + i / 8
        }))
      },
      startMs
    )
  )

const plain = (records: Iterable<StoredRecord>) =>
  Array.from(records, ({ tags, timestampMs, values }) => ({
    timestampMs,
    tags: Object.fromEntries(tags),
    values: Object.fromEntries(values)
  }))

const readAll = (installation: number, range?: { readonly fromMs?: number; readonly untilMs?: number }) =>
  Effect.gen(function* () {
    const store = yield* Store
    return plain(yield* Stream.runCollect(store.read(installationOf(installation), range)))
  })

/** Before the layer is built: its upkeep would run once for every second of the jump. */
const atStart = TestClock.setTime(startMs)

export const storeContract = <E>(name: string, layer: () => Layer.Layer<Store, E>) => {
  const check = <A, F>(title: string, effect: Effect.Effect<A, F, Store>) =>
    it.effect(`${name}: ${title}`, () => Effect.zipRight(atStart, Effect.provide(effect, layer())))

  describe("append and read", () => {
    check(
      "gives back exactly the records that were appended, in order of arrival",
      Effect.gen(function* () {
        const store = yield* Store
        const later = yield* batch(1, 10, 2)
        const earlier = yield* batch(1, 20, 2, 120 * minuteMs)
        assert.deepStrictEqual(yield* store.append([...later, ...earlier]), ["stored", "stored"])
        const record = (value: number, agoMinutes: number) => ({
          timestampMs: startMs - agoMinutes * minuteMs,
          tags: { model: "AERO_SLM", version: "1.0.1" },
          values: { temp_outside: -1, value }
        })
        assert.deepStrictEqual(yield* readAll(1), [
          record(10, 60),
          record(10.125, 59),
          record(20, 120),
          record(20.125, 119)
        ])
        assert.deepStrictEqual(yield* readAll(2), [])
      })
    )

    check(
      "keeps the heat pumps of one home apart",
      Effect.gen(function* () {
        const store = yield* Store
        const pump = (id: string, model: string, value: number) => ({
          id,
          manufacturer: "idm",
          model,
          values: { value }
        })
        const blocks = yield* Effect.promise(() =>
          blocksOf(
            {
              installation_id: installationOf(1),
              data: [
                { timestamp: startMs / 1000, heatpumps: [pump("hp-1", "navigator 2", 1), pump("hp-2", "aero", 2)] }
              ]
            },
            startMs
          )
        )
        yield* store.append(blocks)
        const tags = (id: string, model: string) => ({
          model,
          version: "unknown",
          heatpump_id: id,
          manufacturer: "idm"
        })
        assert.deepStrictEqual(yield* readAll(1), [
          { timestampMs: startMs, tags: tags("hp-1", "navigator_2"), values: { value: 1 } },
          { timestampMs: startMs, tags: tags("hp-2", "aero"), values: { value: 2 } }
        ])
      })
    )

    check(
      "reads a range, its start included and its end not",
      Effect.gen(function* () {
        const store = yield* Store
        yield* store.append(yield* batch(1, 0, 10, 10 * minuteMs))
        const range = { fromMs: startMs - 8 * minuteMs, untilMs: startMs - 5 * minuteMs }
        const ages = (yield* readAll(1, range)).map(({ timestampMs }) => (startMs - timestampMs) / minuteMs)
        assert.deepStrictEqual(ages, [8, 7, 6])
      })
    )

    check(
      "reads many blocks without gap or repetition, and as few as are asked for",
      Effect.gen(function* () {
        const store = yield* Store
        const count = 50
        for (let n = 0; n < count; n++) yield* store.append(yield* batch(1, n, 1))
        const values = (yield* readAll(1)).map(({ values }) => values.value)
        assert.deepStrictEqual(
          values,
          Array.from({ length: count }, (_, n) => n)
        )
        const first = yield* Stream.runCollect(Stream.take(store.read(installationOf(1)), 3))
        assert.strictEqual(Chunk.size(first), 3)
      })
    )
  })

  describe("duplicates", () => {
    check(
      "stores a block once, and the same samples of another home all the same",
      Effect.gen(function* () {
        const store = yield* Store
        const one = yield* batch(1, 10)
        const two = yield* batch(2, 10)
        assert.deepStrictEqual(yield* store.append([...one, ...one, ...two]), ["stored", "duplicate", "stored"])
        assert.deepStrictEqual(yield* store.append([...two, ...one]), ["duplicate", "duplicate"])
        assert.lengthOf(yield* readAll(1), 3)
        assert.deepInclude(yield* store.totals, { installations: 2, blocks: 2, records: 6, samples: 12 })
      })
    )
  })

  describe("activity", () => {
    check(
      "counts who was heard of in a window, its start included; a duplicate is contact too",
      Effect.gen(function* () {
        const store = yield* Store
        const one = yield* batch(1, 10)
        yield* store.append(one)
        yield* TestClock.adjust("1 hour")
        yield* store.append(yield* batch(2, 10))
        const hourMs = 60 * minuteMs
        const active = (sinceMs: number) => store.activeInstallations(sinceMs)
        assert.strictEqual(yield* active(startMs), 2)
        assert.strictEqual(yield* active(startMs + 1), 1)
        assert.strictEqual(yield* active(startMs + hourMs), 1)
        assert.strictEqual(yield* active(startMs + hourMs + 1), 0)
        assert.deepStrictEqual(yield* store.lastContactMs(installationOf(1)), Option.some(startMs))
        assert.deepStrictEqual(yield* store.lastContactMs(installationOf(3)), Option.none())

        yield* TestClock.adjust("1 hour")
        yield* store.append(one)
        assert.deepStrictEqual(yield* store.lastContactMs(installationOf(1)), Option.some(startMs + 2 * hourMs))
        assert.strictEqual((yield* store.totals).lastReceivedMs, startMs + 2 * hourMs)
      })
    )

    check(
      "has empty totals at first",
      Effect.gen(function* () {
        const store = yield* Store
        const totals = yield* store.totals
        assert.deepInclude(totals, { installations: 0, blocks: 0, records: 0, samples: 0, lastReceivedMs: undefined })
        assert.isTrue(Either.isRight(yield* Effect.either(store.ready)))
      })
    )
  })

  describe("erase", () => {
    check(
      "leaves nothing of one home and everything of the others; the home may start anew",
      Effect.gen(function* () {
        const store = yield* Store
        for (let n = 0; n < 5; n++) yield* store.append([...(yield* batch(1, n)), ...(yield* batch(2, n))])
        const others = yield* readAll(2)
        assert.strictEqual(yield* store.erase(installationOf(1)), 5)
        assert.deepStrictEqual(yield* readAll(1), [])
        assert.deepStrictEqual(yield* store.lastContactMs(installationOf(1)), Option.none())
        assert.deepStrictEqual(yield* readAll(2), others)
        assert.deepInclude(yield* store.totals, { installations: 1, blocks: 5, records: 15 })
        assert.strictEqual(yield* store.erase(installationOf(1)), 0)
        assert.deepStrictEqual(yield* store.append(yield* batch(1, 0)), ["stored"])
      })
    )
  })

  it(`${name}: behaves like a map of lists under any sequence of appends, repetitions and erasures`, () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            {
              weight: 4,
              arbitrary: fc.record({ do: fc.constant("append" as const), home: fc.nat(2), value: fc.nat(4) })
            },
            {
              weight: 1,
              arbitrary: fc.record({ do: fc.constant("erase" as const), home: fc.nat(2), value: fc.constant(0) })
            }
          ),
          { maxLength: 12 }
        ),
        (steps) =>
          Effect.gen(function* () {
            const store = yield* Store
            const model = new Map<number, Array<number>>()
            for (const step of steps) {
              const values = model.get(step.home) ?? []
              if (step.do === "erase") {
                assert.strictEqual(yield* store.erase(installationOf(step.home)), values.length)
                model.delete(step.home)
              } else {
                const isNew = !values.includes(step.value)
                const outcome = yield* store.append(yield* batch(step.home, step.value, 1))
                assert.deepStrictEqual(outcome, [isNew ? "stored" : "duplicate"])
                if (isNew) model.set(step.home, [...values, step.value])
              }
            }
            for (const home of [0, 1, 2]) {
              const values = (yield* readAll(home)).map(({ values }) => values.value)
              assert.deepStrictEqual(values, model.get(home) ?? [])
            }
            assert.strictEqual((yield* store.totals).installations, model.size)
          }).pipe(Effect.provide(layer()), Effect.runPromise)
      ),
      { numRuns: 25 }
    ))
}
