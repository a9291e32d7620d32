import { assert, layer } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import { accepted, homeOf, layerTestServer, newHome, stored } from "../support/testServer.js"

const wholeSecond = () => Math.floor(Date.now() / 1000) - 60

layer(layerTestServer({ INSTALLATION_UNKNOWN_FIELDS: "1000000" }), { excludeTestServices: true })(
  "more records, fields and heat pumps than there should be, and any at all",
  (it) => {
    it.effect("more heat pumps than a home can have are refused one by one", () =>
      Effect.gen(function* () {
        const heatpumps = Array.from({ length: 40 }, (_, i) => ({ id: `hp-${i}`, values: { temp_outside: i } }))
        const home = newHome([{ timestamp: wholeSecond(), heatpumps }])
        const result = yield* accepted(home)
        assert.deepStrictEqual([result.processed, result.fields_dropped], [1, 8])
        assert.isTrue(result.errors.every(({ code }) => code === "too_many_heatpumps"))
        assert.lengthOf(yield* stored(home.installation_id), 32)
      })
    )

    it.effect("stores 100,000 records of one body, and knows them again", () =>
      Effect.gen(function* () {
        const start = wholeSecond() - 100_000
        const records = Array.from({ length: 100_000 }, (_, i) => `{"timestamp":${start + i},"a":${i}}`)
        const { body, installationId } = homeOf(...records)
        const result = yield* accepted(body)
        assert.deepStrictEqual([result.processed, result.rejected, result.errors.length], [100_000, 0, 0])
        const read = yield* stored(installationId)
        assert.isTrue(read.every(({ timestampMs, values }, i) => timestampMs === (start + i) * 1000 && values.a === i))
        assert.lengthOf(read, 100_000)
        const again = yield* accepted(body)
        assert.deepStrictEqual([again.duplicate, again.receipt], [true, result.receipt])
        assert.lengthOf(yield* stored(installationId), 100_000)
      })
    )

    it.effect("stores the first 1,600 of 10,000 fields; lists 100 refusals and counts all", () =>
      Effect.gen(function* () {
        const fields = Array.from({ length: 10_000 }, (_, i): [string, number] => [`f${i}`, i])
        const timestamp = wholeSecond()
        const home = newHome([{ timestamp, ...Object.fromEntries(fields) }, ...Array.from({ length: 150 }, () => null)])
        const result = yield* accepted(home)
        assert.deepStrictEqual([result.processed, result.rejected, result.fields_dropped], [1, 150, 8_400])
        assert.lengthOf(result.errors, 100)
        assert.deepStrictEqual(result.errors[0], { index: 0, code: "too_many_fields", field: "f1600" })
        assert.deepStrictEqual(
          (yield* stored(home.installation_id))[0]!.values,
          Object.fromEntries(fields.slice(0, 1_600))
        )
      })
    )

    it.effect("accepts an empty batch and stores nothing", () =>
      Effect.gen(function* () {
        const home = newHome([])
        const result = yield* accepted(home)
        assert.deepStrictEqual([result.processed, result.rejected, result.duplicate], [0, 0, false])
        assert.deepStrictEqual(yield* stored(home.installation_id), [])
      })
    )

    const name = fc.oneof(
      fc.string({ unit: "binary", maxLength: 12 }),
      fc.constantFrom("timestamp", "heatpumps", "value")
    )
    const leaf = fc.oneof(fc.double(), fc.boolean(), fc.string({ unit: "binary" }), fc.constant(null), fc.jsonValue())
    const sensors = fc.dictionary(name, leaf, { maxKeys: 6 })
    const timestamp = fc.oneof(fc.constant(Date.now() / 1000), fc.double(), leaf)
    const heatpump = fc.oneof(
      leaf,
      fc.record({ id: fc.oneof(fc.constantFrom("a", "b"), leaf), model: leaf, manufacturer: leaf, values: sensors })
    )
    const record = fc.oneof(
      { weight: 1, arbitrary: leaf },
      {
        weight: 4,
        arbitrary: fc
          .tuple(sensors, timestamp, fc.option(fc.array(heatpump, { maxLength: 3 })))
          .map(([fields, timestamp, heatpumps]) => ({ ...fields, timestamp, ...(heatpumps && { heatpumps }) }))
      }
    )

    it.effect.prop(
      "whatever JSON the records are, all are counted and only clean samples are stored",
      [fc.array(record, { maxLength: 8 })],
      ([data]) =>
        Effect.gen(function* () {
          const home = newHome(data)
          const result = yield* accepted(home)
          assert.strictEqual(result.processed + result.rejected, data.length)
          const records = yield* stored(home.installation_id)
          assert.isAtLeast(records.length, result.processed)
          for (const { tags, timestampMs, values } of records) {
            assert.isTrue(Number.isSafeInteger(timestampMs))
            assert.includeMembers(["model", "version", "heatpump_id", "manufacturer"], Object.keys(tags))
            assert.isAbove(Object.keys(values).length, 0)
            for (const [field, value] of Object.entries(values)) {
              assert.match(field, /^[A-Za-z0-9_]{1,128}$/)
              assert.isTrue(Number.isFinite(value))
            }
          }
        }),
      { fastCheck: { numRuns: 150 } }
    )
  }
)
