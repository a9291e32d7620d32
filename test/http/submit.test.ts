import { brotliCompressSync, constants, deflateSync, gzipSync } from "node:zlib"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Store } from "../../src/store/Store.js"
import { homeTags, numbersIn, payloadNames, sentBody } from "../support/payloads.js"
import { accepted, layerTestServer, newHome, refused, stored } from "../support/testServer.js"

const encodings = {
  identity: (body: string) => Buffer.from(body),
  gzip: (body: string) => gzipSync(body),
  "x-gzip": (body: string) => Buffer.concat([gzipSync(body.slice(0, 100)), gzipSync(body.slice(100))]),
  deflate: (body: string) => deflateSync(body),
  BR: (body: string) => brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } })
}
const nowSeconds = () => Date.now() / 1000

layer(layerTestServer(), { excludeTestServices: true })("POST /api/v1/submit", (it) => {
  it.effect.each(payloadNames)("stores exactly the numbers of the real client's body %s", (name) =>
    Effect.gen(function* () {
      const { body, installationId } = sentBody(name)
      const expected = numbersIn(body)
      const isNested = name.startsWith("nested")
      const result = yield* accepted(body)
      assert.strictEqual(result.processed, expected.length)
      assert.strictEqual(result.rejected, 0)
      assert.isFalse(result.duplicate)
      assert.strictEqual(result.fields_dropped, isNested ? 2 * expected.length : 0)
      assert.lengthOf(result.errors, Math.min(100, result.fields_dropped))
      assert.deepStrictEqual(
        result.errors.slice(0, 2),
        isNested
          ? [
              { index: 0, code: "value_out_of_range", field: "humidity" },
              { index: 0, code: "value_out_of_range", field: "mode_circuit_a" }
            ]
          : []
      )
      const records = yield* stored(installationId)
      assert.lengthOf(records, expected.length)
      for (const [i, record] of records.entries()) {
        assert.strictEqual(Object.keys(record.values).length, isNested ? 135 : 137)
        assert.deepStrictEqual(record, expected[i])
      }
      assert.strictEqual(records[0]!.values.temp_cold_storage, -1)
    })
  )

  it.effect.each(Object.keys(encodings) as ReadonlyArray<keyof typeof encodings>)(
    "stores the same from a body with Content-Encoding %s",
    (encoding) =>
      Effect.gen(function* () {
        const { body, installationId } = sentBody("flat500")
        const result = yield* accepted(encodings[encoding](body), {
          "content-encoding": encoding,
          "content-type": "application/json; charset=UTF-8"
        })
        assert.isFalse(result.duplicate)
        assert.deepStrictEqual(yield* stored(installationId), numbersIn(body))
      })
  )

  it.effect("stores a batch once, however often and however encoded it comes", () =>
    Effect.gen(function* () {
      const store = yield* Store
      const { body } = sentBody("nested500")
      const { blocks, records, samples } = yield* store.totals
      const first = yield* accepted(body)
      const again = yield* Effect.all(
        [
          accepted(body),
          accepted(gzipSync(body), { "content-encoding": "gzip" }),
          accepted(JSON.stringify(JSON.parse(body)))
        ],
        { concurrency: "unbounded" }
      )
      for (const result of again) assert.deepStrictEqual(result, { ...first, duplicate: true })
      assert.match(first.receipt, /^[0-9a-f]{64}$/)
      const after = yield* store.totals
      assert.strictEqual(after.blocks - blocks, 1)
      assert.strictEqual(after.records - records, 500)
      assert.strictEqual(after.samples - samples, 500 * 135)
    })
  )

  it.effect("stores one of many equal batches that arrive at the same moment", () =>
    Effect.gen(function* () {
      const home = newHome([{ timestamp: nowSeconds(), temp_outside: 5.5 }])
      const results = yield* Effect.all(
        Array.from({ length: 12 }, () => accepted(home)),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(
        results.filter(({ duplicate }) => !duplicate),
        1
      )
      assert.lengthOf(yield* stored(home.installation_id), 1)
    })
  )

  it.effect("is no duplicate when one value differs", () =>
    Effect.gen(function* () {
      const home = newHome([{ timestamp: nowSeconds(), temp_outside: 5.5 }])
      const first = yield* accepted(home)
      const other = yield* accepted({ ...home, data: [{ ...home.data[0]!, temp_outside: 5.6 }] })
      assert.isFalse(other.duplicate)
      assert.notStrictEqual(other.receipt, first.receipt)
      assert.lengthOf(yield* stored(home.installation_id), 2)
    })
  )

  it.effect("takes an installation id in upper case for the same home", () =>
    Effect.gen(function* () {
      const home = newHome([{ timestamp: nowSeconds(), temp_outside: 5.5 }])
      yield* accepted(home)
      const shouted = yield* accepted({ ...home, installation_id: home.installation_id.toUpperCase() })
      assert.isTrue(shouted.duplicate)
      assert.lengthOf(yield* stored(home.installation_id), 1)
    })
  )

  it.effect("keeps the heat pumps of one home apart", () =>
    Effect.gen(function* () {
      const timestamp = Math.round(nowSeconds())
      const pump = (id: string, rest: object, values: object) => ({ id, ...rest, values })
      const home = newHome([
        {
          timestamp,
          temp_outside: 7,
          heatpumps: [
            pump("hp-1", { manufacturer: "idm", model: "navigator 2.0" }, { temp_hgl_flow: 30.5 }),
            pump("hp-2", { manufacturer: null }, { temp_hgl_flow: { value: 31, text: "WARM" } })
          ]
        },
        { timestamp: timestamp + 1, heatpumps: [pump("hp-2", {}, { temp_hgl_flow: 32.5, on: true })] }
      ])
      const result = yield* accepted(home)
      assert.strictEqual(result.processed, 2)
      const timestampMs = timestamp * 1000
      const first = { model: "navigator_2.0", version: "1.0.1", heatpump_id: "hp-1", manufacturer: "idm" }
      const second = { model: "AERO_SLM", version: "1.0.1", heatpump_id: "hp-2", manufacturer: "unknown" }
      assert.sameDeepMembers(yield* stored(home.installation_id), [
        { timestampMs, tags: homeTags, values: { temp_outside: 7 } },
        { timestampMs, tags: first, values: { temp_hgl_flow: 30.5 } },
        { timestampMs, tags: second, values: { temp_hgl_flow: 31 } },
        { timestampMs: timestampMs + 1000, tags: second, values: { temp_hgl_flow: 32.5, on: 1 } }
      ])
    })
  )

  it.effect.each([
    ["AERO SLM", "1.0.1", "AERO_SLM", "1.0.1"],
    ["AERO_SLM", "1.0.1+b-2_c", "AERO_SLM", "1.0.1+b-2_c"],
    ["Nav (2.0) x-y", undefined, "Nav_(2.0)_x-y", "unknown"],
    ["", null, "unknown", "unknown"],
    [null, "1", "unknown", "1"],
    [undefined, "1", "unknown", "1"]
  ] as ReadonlyArray<readonly [unknown, unknown, string, string]>)(
    "stores model and version %j as tags",
    ([sentModel, sentVersion, model, version]) =>
      Effect.gen(function* () {
        const home = newHome([{ timestamp: nowSeconds(), temp_outside: 1 }], {
          heatpump_model: sentModel,
          version: sentVersion
        })
        yield* accepted(home)
        assert.deepStrictEqual((yield* stored(home.installation_id))[0]!.tags, { model: model!, version: version! })
      })
  )

  it.effect("stores absent-probe and dead-probe values as they were sent", () =>
    Effect.gen(function* () {
      const values = {
        temp_cold_storage: -1,
        charge_state_battery: 65535,
        temp_outside: -1,
        temp_water_heater_top: 85,
        temp_hgl_flow: 0
      }
      const home = newHome([{ timestamp: nowSeconds(), ...values }])
      assert.strictEqual((yield* accepted(home)).fields_dropped, 0)
      assert.deepStrictEqual((yield* stored(home.installation_id))[0]!.values, values)
    })
  )

  it.effect("stores nothing of a refused submission", () =>
    Effect.gen(function* () {
      const home = newHome([{ timestamp: nowSeconds(), temp_outside: 1 }], { heatpump_model: "test/model" })
      assert.strictEqual((yield* refused(home)).status, 422)
      assert.deepStrictEqual(yield* stored(home.installation_id), [])
    })
  )
})
