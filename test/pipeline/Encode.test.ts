import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import * as fc from "fast-check"
import { InstallationId } from "../../src/domain/InstallationId.js"
import { sensors } from "../../src/domain/Sensor.js"
import { ByteBuffer } from "../../src/pipeline/ByteBuffer.js"
import { decodeBody } from "../../src/pipeline/Decode.js"
import type { Point } from "../support/lineProtocol.js"
import { type Payload, payloadNames, recentPayload } from "../support/payloads.js"
import { nowMs, throughPipeline } from "../support/throughPipeline.js"

const yearMs = 365 * 86_400_000
const installation = InstallationId.make("3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3")

/** What CONTRACT and registry say of one field, written a second time and without regard for speed. */
const acceptedValue = (name: string, json: unknown): number | undefined => {
  const inner = typeof json === "object" && json !== null && !Array.isArray(json) && "value" in json ? json.value : json
  const value = typeof inner === "boolean" ? Number(inner) : inner
  if (typeof value !== "number" || !Number.isFinite(value)) return undefined
  if (!/^[A-Za-z0-9_]+$/.test(name) || name.startsWith("__") || name.length > 128) return undefined
  const sensor = sensors.get(name)
  if (sensor?.absent.includes(value)) return value
  const [min, max] = sensor === undefined ? [-1e13, 1e13] : [sensor.min, sensor.max]
  if (value < min || value > max || (value !== 0 && Math.abs(value) <= 1e-20)) return undefined
  return value
}

type Sample = readonly [source: string, timestampMs: number, name: string, value: number]

const acceptedSamples = (data: ReadonlyArray<unknown>): ReadonlyArray<Sample> =>
  data.flatMap((record): ReadonlyArray<Sample> => {
    if (typeof record !== "object" || record === null || Array.isArray(record)) return []
    const { timestamp, heatpumps, ...flat } = record as Record<string, unknown>
    if (typeof timestamp !== "number") return []
    const timestampMs = Math.round(timestamp * 1000)
    if (!(timestampMs >= nowMs - yearMs && timestampMs <= nowMs + 86_400_000)) return []
    const samples = (source: string, values: object): ReadonlyArray<Sample> =>
      Object.entries(values).flatMap(([name, json]) => {
        const value = acceptedValue(name, json)
        return value === undefined ? [] : [[source, timestampMs, name, value + 0] as const]
      })
    const pumps = Array.isArray(heatpumps) ? heatpumps : []
    return [...samples("", flat), ...pumps.flatMap(({ id, values }) => samples(id, values))]
  })

const samplesOf = (points: ReadonlyArray<Point>): ReadonlyArray<Sample> =>
  points.flatMap(({ fields, tags, timestamp }) =>
    [...fields].map(([name, value]) => [tags.heatpump_id ?? "", timestamp, name, value] as const)
  )

const sorted = (samples: ReadonlyArray<Sample>) => samples.map((sample) => JSON.stringify(sample)).sort()

const fieldName = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...sensors.keys()) },
  { weight: 2, arbitrary: fc.stringMatching(/^[a-z_]{1,8}$/) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 10 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "__proto__",
      "constructor",
      "a b",
      "a,b=1",
      'q"q',
      "n\nn",
      "é",
      "🔥",
      "a\\",
      "x".repeat(129)
    )
  }
)
const fieldValue = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: -7000, max: 20_000 }).map((n) => n / 100) },
  { weight: 1, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(-1, -1.0, 65_535, 0, -0, 1e31, 2.4e-27, 1e-20, 1e13, 12_345_678_901_234_568)
  },
  { weight: 1, arbitrary: fc.boolean() },
  { weight: 1, arbitrary: fc.record({ value: fc.integer({ min: 0, max: 300 }), text: fc.string() }) },
  { weight: 1, arbitrary: fc.jsonValue() }
)
const fields = fc.array(fc.tuple(fieldName, fieldValue), { maxLength: 12 })
const timestamp = fc.integer({ min: -500_000, max: 200_000 }).map((s) => nowMs / 1000 + s * 100 + 0.417)
const pump = fc.record({ id: fc.constantFrom("hp-1", "hp-2", "hp.3"), values: fields })

/** JSON text by hand, so that `__proto__` and duplicate keys survive; the last of a duplicate wins, as in JSON.parse. */
const objectText = (entries: ReadonlyArray<readonly [string, unknown]>) =>
  `{${entries.map(([key, value]) => `${JSON.stringify(key)}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ")}}`
const literal = (entries: ReadonlyArray<readonly [string, unknown]>) =>
  objectText(entries.map(([key, value]) => [key, JSON.stringify(value)]))

const recordText = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(timestamp, fields, fc.option(fc.uniqueArray(pump, { maxLength: 3, selector: ({ id }) => id })))
      .map(([at, own, pumps]) =>
        objectText([
          ...own
            .filter(([name]) => name !== "heatpumps")
            .map(([name, value]) => [name, JSON.stringify(value)] as const),
          ["timestamp", JSON.stringify(at)],
          ...(pumps === null
            ? []
            : [
                [
                  "heatpumps",
                  `[${pumps
                    .map(({ id, values }) =>
                      objectText([
                        ["id", JSON.stringify(id)],
                        ["values", literal(values)]
                      ])
                    )
                    .join()}]`
                ] as const
              ])
        ])
      )
  },
  { weight: 1, arbitrary: fc.jsonValue().map((json) => JSON.stringify(json)) }
)

describe("Encode", () => {
  it("writes exactly the accepted samples of arbitrary JSON, read back by an independent parser", () =>
    fc.assert(
      fc.asyncProperty(fc.array(recordText, { maxLength: 20 }), async (records) => {
        const body = `{"installation_id": "${installation}", "heatpump_model": "AERO SLM", "data": [${records.join(", ")}]}`
        const data: ReadonlyArray<unknown> = JSON.parse(body).data
        const { blocks, points, submission } = await throughPipeline(body)
        assert.deepStrictEqual(sorted(samplesOf(points)), sorted(acceptedSamples(data)))
        assert.strictEqual(submission.processed + submission.rejected, data.length)
        assert.isTrue(submission.rejected + submission.fieldsDropped === 0 || submission.verdicts.length > 0)
        assert.strictEqual(
          blocks.reduce((sum, { samples }) => sum + samples, 0),
          samplesOf(points).length
        )
        for (const { measurement, tags } of points) {
          assert.strictEqual(measurement, "heatpump_metrics")
          assert.deepInclude(tags, { installation_id: installation, version: "unknown" })
        }
      }),
      { numRuns: 600 }
    ))

  it.each(payloadNames)("describes the blocks of the real body %s truly", async (name) => {
    const payload = recentPayload(name, nowMs)
    const { blocks, points, receipt, submission, texts } = await throughPipeline(JSON.stringify(payload))
    assert.lengthOf(blocks, 1)
    const [block] = blocks
    const perRecord = name.startsWith("flat") ? 137 : 135
    assert.deepInclude(block!, {
      installationId: installation,
      version: "1.0.1",
      records: payload.data.length,
      samples: payload.data.length * perRecord,
      firstTimestampMs: Math.round(payload.data[0]!.timestamp * 1000),
      lastTimestampMs: Math.round(payload.data.at(-1)!.timestamp * 1000)
    })
    assert.strictEqual(submission.fieldsDropped, payload.data.length * (137 - perRecord))
    assert.deepStrictEqual(sorted(samplesOf(points)), sorted(acceptedSamples(payload.data)))
    assert.strictEqual(block!.sha256.toString("hex"), createHash("sha256").update(texts[0]!).digest("hex"))
    assert.strictEqual(receipt, block!.sha256.toString("hex"))
    assert.deepInclude(
      points[0]!.tags,
      name.startsWith("flat")
        ? { model: "AERO_SLM" }
        : { model: "navigator_2_0", manufacturer: "idm", heatpump_id: "hp-7c1e09ab" }
    )
  })

  it("keeps what spans two days in one block, and gives each day (UTC) its own beyond", async () => {
    const times = ["20T23:59:59.999", "21T00:00:00", "23T10:00:00", "21T23:59:59"].map((time) =>
      Date.parse(`2026-11-${time}Z`)
    )
    const spans = async (timesMs: ReadonlyArray<number>) => {
      const data = timesMs.map((ms) => ({ timestamp: ms / 1000, temp_outside: 5 }))
      const { blocks } = await throughPipeline(JSON.stringify({ installation_id: installation, data }))
      return blocks.map(({ firstTimestampMs, lastTimestampMs, records }) => [
        firstTimestampMs,
        lastTimestampMs,
        records
      ])
    }
    assert.deepStrictEqual(await spans(times), [
      [times[0], times[0], 1],
      [times[1], times[3], 2],
      [times[2], times[2], 1]
    ])
    const first = times[0]!
    const twoDays = first + 2 * 86_400_000
    assert.deepStrictEqual(await spans([twoDays, first]), [[first, twoDays, 2]])
    assert.lengthOf(await spans([twoDays + 1, first]), 2)
  })

  it("gives 8 MiB of lines a block, in order; of equal samples all blocks are equal", async () => {
    const maxBytes = 8 * 1024 * 1024
    const records = 24_000
    const tag = "x".repeat(64)
    const pumps = (i: number) =>
      ["hp-1", "hp-2"].map((id) => ({ id, manufacturer: tag, values: { temp_outside: i % 50 } }))
    const data = Array.from({ length: records }, (_, i) => ({ timestamp: nowMs / 1000 - i, heatpumps: pumps(i) }))
    const body = { installation_id: installation, heatpump_model: "m".repeat(128), version: "1".repeat(32), data }
    const { blocks, receipt, texts } = await throughPipeline(JSON.stringify(body))
    assert.deepStrictEqual(
      blocks.map(({ heatpumpId }) => heatpumpId),
      ["hp-1", "hp-1", "hp-2", "hp-2"]
    )
    for (const [i, { firstTimestampMs, lastTimestampMs, records, samples, sha256 }] of blocks.entries()) {
      const text = texts[i]!
      assert.isAtMost(text.length, maxBytes)
      assert.strictEqual(sha256.toString("hex"), createHash("sha256").update(text).digest("hex"))
      const lines = text.split("\n").slice(0, -1)
      const times = lines.map((line) => Number(line.slice(line.lastIndexOf(" "))))
      assert.deepStrictEqual(
        [records, samples, firstTimestampMs, lastTimestampMs],
        [lines.length, lines.length, times.at(-1), times[0]]
      )
    }
    // The first ones are full.
    for (const text of [texts[0]!, texts[2]!]) assert.isAtLeast(text.length, maxBytes - 400)
    for (const halves of [texts.slice(0, 2), texts.slice(2)]) {
      assert.deepStrictEqual(
        Array.from(halves.join("").matchAll(/ (\d+)\n/g), ([, time]) => Number(time)),
        data.map(({ timestamp }) => Math.round(timestamp * 1000))
      )
    }
    const again = await throughPipeline(JSON.stringify(body, null, 1))
    assert.strictEqual(again.receipt, receipt)
    assert.deepStrictEqual(
      again.blocks.map(({ sha256 }) => sha256),
      blocks.map(({ sha256 }) => sha256)
    )
  })

  it("gives each heat pump its own block, and equal samples an equal receipt", async () => {
    const pumps = ["hp-1", "hp-2"].map((id) => ({
      id,
      manufacturer: "idm",
      model: "aero",
      values: { temp_outside: 5 }
    }))
    const body = { installation_id: installation, data: [{ timestamp: nowMs / 1000, heatpumps: pumps }] }
    const first = await throughPipeline(JSON.stringify(body))
    const again = await throughPipeline(JSON.stringify(body, null, 2))
    assert.deepStrictEqual(
      first.blocks.map(({ heatpumpId }) => heatpumpId),
      ["hp-1", "hp-2"]
    )
    assert.strictEqual(first.receipt, again.receipt)
    assert.notStrictEqual(first.receipt, first.blocks[0]!.sha256.toString("hex"))
  })

  it("lets nothing of a version, model, heat pump or manufacturer become syntax", async () => {
    const hostile = ["a b", "a,b=c", "a\nheatpump_metrics x=1 1", 'a"b', "a\\", "", "é"]
    const good: Payload = { ...recentPayload("flat3", nowMs) }
    for (const text of hostile) {
      for (const key of ["version", "heatpump_model"] as const) {
        const body = JSON.stringify({ ...good, [key]: text })
        const result = await Effect.runPromise(
          Effect.either(decodeBody(Buffer.from(body), nowMs, yearMs, new ByteBuffer()))
        )
        const isModel = key === "heatpump_model"
        const isFine = isModel ? text === "" || text === "a b" : false
        assert.strictEqual(Either.isRight(result), isFine, `${key} ${JSON.stringify(text)}`)
      }
      for (const key of ["id", "manufacturer", "model"]) {
        const entry = { id: "hp-1", manufacturer: "idm", model: "aero", values: { temp_outside: 5 }, [key]: text }
        const data = [{ timestamp: nowMs / 1000, heatpumps: [entry], own: 1 }]
        const { points } = await throughPipeline(JSON.stringify({ ...good, data }))
        for (const { tags } of points) for (const tag of Object.values(tags)) assert.match(tag, /^[\w.:() -]+$/)
        assert.isTrue(points.some(({ fields }) => fields.get("own") === 1))
      }
    }
  })
})
