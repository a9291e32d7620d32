import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import type { Verdict } from "../../src/domain/Submission.js"
import { accepted, homeOf, layerTestServer, newHome, stored } from "../support/testServer.js"

const daySeconds = 86_400
const wholeSecond = () => Math.floor(Date.now() / 1000) - 60

const codeOf = (errors: ReadonlyArray<Verdict>, index: number): string | undefined =>
  errors.find((error) => error.index === index)?.code

layer(layerTestServer({ INSTALLATION_UNKNOWN_FIELDS: "1000000" }), { excludeTestServices: true })(
  "dirty records",
  (it) => {
    it.effect("a timestamp that is wrong costs its own record alone, and tells why", () =>
      Effect.gen(function* () {
        const now = wholeSecond()
        const cases: ReadonlyArray<readonly [timestamp: string | undefined, expected: string | number]> = [
          [`${now}`, now * 1000],
          [`${now}.417`, now * 1000 + 417],
          [`${now + 1}000`, (now + 1) * 1000],
          [`${now + 2}000000`, (now + 2) * 1000],
          [`${now + 3}000000000`, (now + 3) * 1000],
          [`${now - 364 * daySeconds}`, (now - 364 * daySeconds) * 1000],
          [`${now + daySeconds - 60}`, (now + daySeconds - 60) * 1000],
          [undefined, "timestamp_missing"],
          ["null", "timestamp_missing"],
          [`"${now}"`, "timestamp_invalid"],
          ['"yesterday"', "timestamp_invalid"],
          ["true", "timestamp_invalid"],
          [`[${now}]`, "timestamp_invalid"],
          [`{"value":${now}}`, "timestamp_invalid"],
          ["0", "timestamp_invalid"],
          ["-0", "timestamp_invalid"],
          [`-${now}`, "timestamp_invalid"],
          ["NaN", "timestamp_invalid"],
          ["Infinity", "timestamp_invalid"],
          ["-Infinity", "timestamp_invalid"],
          ["1e400", "timestamp_invalid"],
          ["1e308", "timestamp_in_future"],
          ["5e-324", "timestamp_too_old"],
          [`${now - 367 * daySeconds}`, "timestamp_too_old"],
          [`${(now - 367 * daySeconds) * 1000}`, "timestamp_too_old"],
          [`${now + 2 * daySeconds}`, "timestamp_in_future"],
          [`${now + 2 * daySeconds}000`, "timestamp_in_future"]
        ]
        const { body, installationId } = homeOf(
          ...cases.map(
            ([timestamp], i) => `{${timestamp === undefined ? "" : `"timestamp": ${timestamp}, `}"temp_outside": ${i}}`
          )
        )
        const result = yield* accepted(body)
        const good = cases.flatMap(([, expected], i) => (typeof expected === "number" ? [[expected, i]] : []))
        assert.deepStrictEqual(
          cases.map(([timestamp], i) => [timestamp, codeOf(result.errors, i)]),
          cases.map(([timestamp, expected]) => [timestamp, typeof expected === "number" ? undefined : expected])
        )
        assert.strictEqual(result.processed, good.length)
        assert.strictEqual(result.rejected, cases.length - good.length)
        assert.strictEqual(result.fields_dropped, 0)
        // A submission over more than two days becomes a block for each day.
        assert.sameDeepMembers(
          (yield* stored(installationId)).map(({ timestampMs, values }) => [timestampMs, values.temp_outside]),
          good
        )
      })
    )

    it.effect("a value that is no measurement costs itself alone", () =>
      Effect.gen(function* () {
        const kept = {
          precise: ["0.12345678901234567", 0.12345678901234566],
          negative: ["-12.5", -12.5],
          exponent: ["1.5e3", 1500],
          zero: ["-0.0", 0],
          large: ["9999999999999", 9999999999999],
          small: ["1e-19", 1e-19],
          yes: ["true", 1],
          no: ["false", 0],
          dict: ['{"value": 3, "text": "AUTOMATIC"}', 3],
          flag: ['{"value": true}', 1],
          hidden: ['{"text": "NaN \\" Infinity", "value": 4}', 4]
        } as const
        const refused = {
          nan: "NaN",
          infinity: "Infinity",
          minus_infinity: "-Infinity",
          overflow: "1e400",
          seventeen_digits: "12345678901234567",
          garbage: "1e31",
          denormal: "2.4e-27",
          minus_denormal: "-5e-324",
          temp_outside: "999",
          temp_water_heater_top: "65535"
        }
        const notNumbers = { list: "[1]", empty: "{}", other: '{"value": "1"}', deep: '{"value": {"value": 1}}' }
        const ignored = { word: '"1"', nothing: "null", unknown: '{"value": null, "text": "?"}' }
        const fields = [
          ...Object.entries(kept).map(([name, [sent]]) => [name, sent]),
          ...Object.entries({ ...refused, ...notNumbers, ...ignored })
        ].map(([name, sent]) => `"${name}": ${sent}`)
        const { body, installationId } = homeOf(`{"timestamp": ${wholeSecond()}, ${fields.join(", ")}}`)
        const result = yield* accepted(body)
        assert.deepStrictEqual(result.errors, [
          ...Object.keys(refused).map((field) => ({ index: 0, code: "value_out_of_range" as const, field })),
          ...Object.keys(notNumbers).map((field) => ({ index: 0, code: "value_not_numeric" as const, field }))
        ])
        assert.strictEqual(result.fields_dropped, result.errors.length)
        assert.strictEqual(result.processed, 1)
        assert.deepStrictEqual(
          (yield* stored(installationId))[0]!.values,
          Object.fromEntries(Object.entries(kept).map(([name, [, value]]) => [name, value]))
        )
      })
    )

    it.effect("a key that is no field name costs itself alone, and never becomes part of a line", () =>
      Effect.gen(function* () {
        const refused = [
          "",
          "with space",
          "comma,evil=1",
          'quote"',
          "equals=1",
          "line\nheatpump_metrics,installation_id=x evil=1 1",
          "back\\slash",
          "dash-ed",
          "töpfchen",
          "🔥",
          "nul\u0000",
          "__proto__",
          "__name__",
          "x".repeat(129)
        ]
        const kept = [
          "constructor",
          "toString",
          "hasOwnProperty",
          "model",
          "installation_id",
          "_",
          "7",
          "x".repeat(128)
        ]
        const fields = [...refused, ...kept].map((name) => `${JSON.stringify(name)}: 1`)
        const { body, installationId } = homeOf(`{"timestamp": ${wholeSecond()}, ${fields.join(", ")}}`)
        const result = yield* accepted(body)
        assert.strictEqual(result.processed, 1)
        assert.strictEqual(result.fields_dropped, refused.length)
        assert.deepStrictEqual(
          result.errors,
          refused.map((field) => ({ index: 0, code: "field_name_invalid" as const, field: field.slice(0, 128) }))
        )
        const [record, ...more] = yield* stored(installationId)
        assert.deepStrictEqual(more, [])
        assert.deepStrictEqual(record!.tags, { model: "AERO_SLM", version: "1.0.1" })
        assert.deepStrictEqual(record!.values, Object.fromEntries(kept.map((name) => [name, 1])))
      })
    )

    it.effect("of a key that is given twice the last value counts", () =>
      Effect.gen(function* () {
        const now = wholeSecond()
        const { body, installationId } = homeOf(
          `{"timestamp": 1, "a": 1, "b": 2, "a": 3, "timestamp": ${now}, "b": "gone"}`
        )
        assert.strictEqual((yield* accepted(body)).processed, 1)
        assert.deepStrictEqual(
          (yield* stored(installationId)).map(({ timestampMs, values }) => [timestampMs, values]),
          [[now * 1000, { a: 3 }]]
        )
      })
    )

    it.effect("bytes that are not UTF-8 spoil the key they stand in, not the record", () =>
      Effect.gen(function* () {
        const { body, installationId } = homeOf(
          `{"timestamp": ${wholeSecond()}, "bad\xff\xfe": 1, "note": "\xc3\x28\xed\xa0\x80", "good": 2}`
        )
        const result = yield* accepted(Buffer.from(body, "latin1"))
        assert.strictEqual(result.fields_dropped, 1)
        assert.strictEqual(result.errors[0]?.code, "field_name_invalid")
        assert.deepStrictEqual((yield* stored(installationId))[0]!.values, { good: 2 })
      })
    )

    it.effect("what is no record, or has no number, is rejected and its neighbours are not", () =>
      Effect.gen(function* () {
        const timestamp = wholeSecond()
        const notObjects = ["null", "1", "true", '"record"', "[]", `[{"timestamp": ${timestamp}, "a": 1}]`]
        const noNumbers = ["", ', "a": "1"', ', "a": null', ', "heatpumps": []', ', "heatpumps": 7', ', "a b": 1'].map(
          (rest) => `{"timestamp": ${timestamp}${rest}}`
        )
        const good = `{"timestamp": ${timestamp}, "a": 1}`
        const { body, installationId } = homeOf(good, ...notObjects, ...noNumbers, good.replace("1}", "2}"))
        const result = yield* accepted(body)
        assert.strictEqual(result.processed, 2)
        assert.strictEqual(result.rejected, notObjects.length + noNumbers.length)
        for (const [i] of notObjects.entries()) assert.strictEqual(codeOf(result.errors, 1 + i), "not_an_object")
        assert.strictEqual(result.errors.filter(({ code }) => code === "no_numeric_fields").length, noNumbers.length)
        assert.deepStrictEqual(
          (yield* stored(installationId)).map(({ values }) => values.a),
          [1, 2]
        )
      })
    )

    it.effect("a heat pump that would need escaping as a tag is refused, and its neighbours are not", () =>
      Effect.gen(function* () {
        const values = { temp_outside: 1, temp_hgl_flow: 2 }
        const bad: ReadonlyArray<unknown> = [
          { id: "hp,evil=1", values },
          { id: "hp 1", values },
          { id: "hp=1", values },
          { id: "hp\n", values },
          { id: "hp\nheatpump_metrics,installation_id=x evil=1 1", values },
          { id: "", values },
          { id: 7, values },
          { values },
          { id: "hp", manufacturer: "i d m", values },
          { id: "hp", manufacturer: "idm,evil=1", values },
          { id: "hp", manufacturer: ["idm"], values },
          { id: "hp", model: "nav,evil=1", values },
          { id: "hp", model: "nav\n", values },
          { id: "hp", model: "test/model", values },
          { id: "hp", model: "🔥", values },
          { id: "hp" },
          { id: "hp", values: [1] },
          "hp",
          null
        ]
        const withValues =
          bad.filter((pump) => typeof pump === "object" && pump !== null && "values" in pump).length - 1
        const timestamp = wholeSecond()
        const home = newHome([
          { timestamp, heatpumps: [...bad, { id: "hp-1", manufacturer: "idm", model: "nav", values }] },
          { timestamp, heatpumps: bad }
        ])
        const result = yield* accepted(home)
        assert.strictEqual(result.processed, 1)
        assert.strictEqual(result.rejected, 1)
        assert.strictEqual(result.fields_dropped, 2 * (2 * withValues + (bad.length - withValues)))
        assert.strictEqual(result.errors.filter(({ code }) => code === "heatpump_invalid").length, 2 * bad.length)
        assert.deepStrictEqual(yield* stored(home.installation_id), [
          {
            timestampMs: timestamp * 1000,
            tags: { model: "nav", version: "1.0.1", heatpump_id: "hp-1", manufacturer: "idm" },
            values
          }
        ])
      })
    )
  }
)
