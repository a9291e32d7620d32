import { assert, describe, it } from "@effect/vitest"
import { canonicalModel } from "../../src/domain/ModelName.js"
import { sensors } from "../../src/domain/Sensor.js"
import { ByteBuffer } from "../../src/pipeline/ByteBuffer.js"
import { decodeRecords, timestampMsOf } from "../../src/pipeline/Records.js"

const nowMs = 1_795_354_038_000
const dayMs = 86_400_000
const retentionMs = 30 * dayMs
const now = nowMs / 1000
const model = canonicalModel("AERO SLM")

const decode = (data: ReadonlyArray<unknown>, mayUse?: (name: string) => boolean) => {
  const result = decodeRecords(data, model, nowMs, retentionMs, new ByteBuffer(), mayUse)
  const readings = result.readings.map(({ end, samples, source, start, timestampMs }) => ({
    source: result.sources[source]!,
    timestampMs,
    samples,
    fields: result.fieldSets.toString("latin1", start, end)
  }))
  const refused = result.verdicts.map(({ code, field, index }) =>
    field === undefined ? `${index} ${code}` : `${index} ${code} ${field}`
  )
  return { ...result, readings, refused, counts: Object.fromEntries(result.verdictCounts) }
}
const fieldsOf = (data: ReadonlyArray<unknown>) => decode(data).readings.map(({ fields }) => fields)

describe("a record", () => {
  it("is refused with the reason, and counted", () => {
    const { counts, fieldsDropped, processed, readings, refused, rejected } = decode([
      null,
      [{ timestamp: now, a: 1 }],
      "x",
      { a: 1 },
      { timestamp: null, a: 1 },
      { timestamp: String(now), a: 1 },
      { timestamp: 0, a: 1 },
      { timestamp: -1, a: 1 },
      { timestamp: Number.POSITIVE_INFINITY, a: 1 },
      { timestamp: now },
      { timestamp: now, a: "text", b: null, c: { value: null } },
      { timestamp: now, heatpumps: [], c: 1 }
    ])
    assert.deepStrictEqual(refused, [
      "0 not_an_object",
      "1 not_an_object",
      "2 not_an_object",
      "3 timestamp_missing",
      "4 timestamp_missing",
      "5 timestamp_invalid",
      "6 timestamp_invalid",
      "7 timestamp_invalid",
      "8 timestamp_invalid",
      "9 no_numeric_fields",
      "10 no_numeric_fields"
    ])
    assert.deepStrictEqual([processed, rejected, fieldsDropped], [1, 11, 0])
    assert.deepStrictEqual(readings, [{ source: { model }, timestampMs: nowMs, samples: 1, fields: "c=1" }])
    assert.deepStrictEqual(counts, {
      not_an_object: 3,
      timestamp_missing: 2,
      timestamp_invalid: 4,
      no_numeric_fields: 2
    })
  })

  it("is as old as retention at most and a day ahead at most", () => {
    const at = (ms: number) => ({ timestamp: ms / 1000, a: 1 })
    const oldest = nowMs - retentionMs
    const { readings, refused } = decode([at(oldest), at(oldest - 1), at(nowMs + dayMs), at(nowMs + dayMs + 1)])
    assert.deepStrictEqual(
      readings.map(({ timestampMs }) => timestampMs),
      [oldest, nowMs + dayMs]
    )
    assert.deepStrictEqual(refused, ["1 timestamp_too_old", "3 timestamp_in_future"])
  })

  it("has its timestamp in the unit that its magnitude tells", () => {
    assert.deepStrictEqual(
      [99_999_999_999, 1e11, 1e11 + 0.6, 99_999_999_999_999, 1e14, 1e17 - 16, 1e17].map(timestampMsOf),
      [99_999_999_999_000, 1e11, 1e11 + 1, 99_999_999_999_999, 1e11, 1e14, 1e11]
    )
  })
})

describe("a field", () => {
  it("is a number or a truth value, its own or that of its object", () => {
    assert.deepStrictEqual(
      fieldsOf([
        {
          timestamp: now,
          a: 1.5,
          b: true,
          c: false,
          d: { value: 2, text: "two" },
          e: { value: true },
          f: { value: false }
        }
      ]),
      ["a=1.5,b=1,c=0,d=2,e=1,f=0"]
    )
    const { fieldsDropped, readings, refused } = decode([
      { timestamp: now, a: [1], b: {}, c: { value: "1" }, d: { value: { value: 1 } }, e: { value: [] }, ok: -0 }
    ])
    assert.deepStrictEqual(
      refused,
      "abcde".split("").map((name) => `0 value_not_numeric ${name}`)
    )
    assert.strictEqual(fieldsDropped, 5)
    assert.deepStrictEqual(
      readings.map(({ fields, samples }) => [fields, samples]),
      [["ok=0", 1]]
    )
  })

  it("has a name that can be one, and a possible value", () => {
    const outside = sensors.get("temp_outside")!
    const { fieldsDropped, readings, refused } = decode([
      {
        timestamp: now,
        "a b": 1,
        __a: 1,
        [`${"x".repeat(128)}`]: 1,
        [`${"y".repeat(129)}`]: 1,
        temp_outside: outside.max
      },
      {
        timestamp: now + 1,
        temp_outside: outside.max + 0.1,
        a: 1e13,
        b: 1.1e13,
        c: 1e-20,
        d: 1.1e-20,
        e: -1e-20,
        f: -1.1e-20,
        g: -1e13
      }
    ])
    assert.deepStrictEqual(refused, [
      "0 field_name_invalid a b",
      "0 field_name_invalid __a",
      `0 field_name_invalid ${"y".repeat(128)}`,
      "1 value_out_of_range temp_outside",
      "1 value_out_of_range b",
      "1 value_out_of_range c",
      "1 value_out_of_range e"
    ])
    assert.strictEqual(fieldsDropped, 7)
    assert.deepStrictEqual(
      readings.map(({ fields }) => fields),
      [`${"x".repeat(128)}=1,temp_outside=${outside.max}`, "a=10000000000000,d=1.1e-20,f=-1.1e-20,g=-10000000000000"]
    )
  })

  it("of no name that the registry has counts against the home's allowance, once", () => {
    const asked: Array<string> = []
    const { refused } = decode(
      [
        { timestamp: now, temp_outside: 1, mine: 1, other: 1 },
        { timestamp: now + 1, other: 1, mine: 1, "no name": 1, temp_outside: 2 }
      ],
      (name) => {
        asked.push(name)
        return name === "mine"
      }
    )
    assert.deepStrictEqual(asked, ["mine", "other"])
    assert.deepStrictEqual(refused, [
      "0 too_many_fields other",
      "1 too_many_fields other",
      "1 field_name_invalid no name"
    ])
  })

  it("is one of 1,600 in a reading", () => {
    const record = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, i]))
    const { fieldsDropped, readings, refused } = decode([
      { timestamp: now, ...record(1_602) },
      { timestamp: now + 1, ...record(1_600) }
    ])
    assert.deepStrictEqual(refused, ["0 too_many_fields f1600", "0 too_many_fields f1601"])
    assert.strictEqual(fieldsDropped, 2)
    assert.deepStrictEqual(
      readings.map(({ samples }) => samples),
      [1_600, 1_600]
    )
    assert.match(readings[0]!.fields, /^f0=0,f1=1,.*,f1599=1599$/)
    assert.strictEqual(readings[1]!.fields, readings[0]!.fields)
  })

  it("is found again whatever the fields before it were", () => {
    assert.deepStrictEqual(
      fieldsOf([
        { timestamp: now, a: 1, b: 2, c: 3 },
        { timestamp: now + 1, a: 1, c: 3 },
        { timestamp: now + 2, a: 1, c: 4, b: 2 },
        { timestamp: now + 3, a: 1, c: 4, b: 2, d: 5 },
        { timestamp: now + 4, a: "none" },
        { timestamp: now + 5, a: 1, c: 4, b: 2 },
        { timestamp: now + 6, d: 5, a: 1, c: 4, b: 3 }
      ]),
      ["a=1,b=2,c=3", "a=1,c=3", "a=1,c=4,b=2", "a=1,c=4,b=2,d=5", "a=1,c=4,b=2", "d=5,a=1,c=4,b=3"]
    )
  })
})

describe("a heat pump of a record", () => {
  const values = { temp_outside: 1, b: 2, c: 3 }
  const record = (...heatpumps: ReadonlyArray<unknown>) => ({ timestamp: now, heatpumps })

  it("is a source of its own, beside the home", () => {
    const { readings, sources } = decode([
      { ...record({ id: "hp-1", manufacturer: "idm", model: "navigator 2", values }), a: 1 },
      record({ id: "hp-1", manufacturer: "idm", model: "navigator 2", values }, { id: "hp-2", values: { a: 2 } }),
      record({ id: "hp-1", manufacturer: null, model: null, values: { timestamp: 5, heatpumps: 6 } }),
      record({ id: "hp-1", manufacturer: "", model: "", values: { a: 3 } })
    ])
    const first = { model: canonicalModel("navigator 2"), heatpump: { id: "hp-1", manufacturer: "idm" } }
    const second = { model, heatpump: { id: "hp-2", manufacturer: "unknown" } }
    const third = { model, heatpump: { id: "hp-1", manufacturer: "unknown" } }
    assert.deepStrictEqual(sources, [{ model }, first, second, third])
    assert.deepStrictEqual(
      readings.map(({ fields, source }) => [source, fields]),
      [
        [{ model }, "a=1"],
        [first, "temp_outside=1,b=2,c=3"],
        [first, "temp_outside=1,b=2,c=3"],
        [second, "a=2"],
        [third, "timestamp=5,heatpumps=6"],
        [third, "a=3"]
      ]
    )
  })

  it("is refused with all its fields when it does not say which it is", () => {
    const refused = [
      null,
      5,
      [],
      { id: "hp-1" },
      { id: "hp-1", values: [1, 2, 3] },
      { values },
      { id: 5, values },
      { id: "", values },
      { id: "a,b", values },
      { id: "x".repeat(65), values },
      { id: "hp-1\n", values },
      { id: "hp-1", manufacturer: 5, values },
      { id: "hp-1", manufacturer: "a b", values },
      { id: "hp-1", model: 5, values },
      { id: "hp-1", model: "a,b", values },
      { id: " ", values: {} }
    ]
    for (const heatpump of refused) {
      const of = JSON.stringify(heatpump)
      const isWithFields = typeof heatpump === "object" && heatpump !== null && "values" in heatpump
      const count = isWithFields && heatpump.values === values ? 3 : 1
      const result = decode([record(heatpump, { id: "x".repeat(64), values: { a: 1 } }), record(heatpump)])
      assert.deepStrictEqual(
        result.refused,
        ["0 heatpump_invalid heatpumps", "1 heatpump_invalid heatpumps", "1 no_numeric_fields"],
        of
      )
      assert.deepStrictEqual(result.counts, { heatpump_invalid: 2 * count, no_numeric_fields: 1 }, of)
      assert.deepStrictEqual([result.fieldsDropped, result.processed, result.rejected], [2 * count, 1, 1], of)
    }
  })

  it("is one of 32 sources in a submission; those that were there before it go on", () => {
    const pump = (n: number) => ({ id: `hp-${n}`, values })
    const pumps = Array.from({ length: 34 }, (_, n) => pump(n))
    const { counts, fieldsDropped, processed, readings, refused, sources } = decode([
      record(...pumps),
      record(pump(31), pump(32)),
      record(pump(33))
    ])
    assert.lengthOf(sources, 32)
    assert.lengthOf(readings, 33)
    assert.deepStrictEqual(refused, [
      "0 too_many_heatpumps heatpumps",
      "0 too_many_heatpumps heatpumps",
      "1 too_many_heatpumps heatpumps",
      "2 too_many_heatpumps heatpumps",
      "2 no_numeric_fields"
    ])
    assert.deepStrictEqual(counts, { too_many_heatpumps: 12, no_numeric_fields: 1 })
    assert.deepStrictEqual([fieldsDropped, processed], [12, 2])
  })
})

describe("verdicts", () => {
  it("are listed up to a hundred and counted beyond", () => {
    const { counts, refused } = decode(Array.from({ length: 150 }, () => null))
    assert.deepStrictEqual(
      refused,
      Array.from({ length: 100 }, (_, i) => `${i} not_an_object`)
    )
    assert.deepStrictEqual(counts, { not_an_object: 150 })
  })
})
