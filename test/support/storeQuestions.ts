/** What every implementation of the port `Store` knows of its homes. */
import { assert, describe } from "@effect/vitest"
import { Effect, type Layer, Option } from "effect"
import { canonicalModel } from "../../src/domain/ModelName.js"
import { Store } from "../../src/store/Store.js"
import { blockOf } from "./blocks.js"
import { append, batch, checkOn, hourMs, installationOf, startMs } from "./storeHomes.js"

export const storeQuestions = <E>(name: string, layer: () => Layer.Layer<Store, E>) => {
  const check = checkOn(name, layer)

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
}
