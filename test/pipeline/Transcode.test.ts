import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { ByteBuffer } from "../../src/pipeline/ByteBuffer.js"
import { FieldNames } from "../../src/pipeline/FieldNames.js"
import { transcode } from "../../src/pipeline/Transcode.js"
import { bodiesNowMs, orderlyBody } from "../support/bodies.js"
import { decoded, kindsOfBodies, plainly, shareTaken, takesShortWay } from "../support/bothWays.js"
import { type PayloadName, payloadNames, recentPayload, sentBody } from "../support/payloads.js"

/** As clients of other languages and habits would write a real body. */
const rewritten: Readonly<Record<string, (name: PayloadName) => string>> = {
  "as sent": (name) => sentBody(name).body,
  compact: (name) => JSON.stringify(recentPayload(name)),
  indented: (name) => JSON.stringify(recentPayload(name), null, "\t"),
  "records first": (name) => {
    const { data, ...envelope } = recentPayload(name)
    return JSON.stringify({ data, ...envelope })
  }
}

/** A mutant is seen in few bodies or in none. */
const share = process.env.STRYKER_MUTATOR_WORKER === undefined ? 1 : 0.04

describe("the short way", () => {
  const body = (...records: ReadonlyArray<string>) =>
    Buffer.from(`{"installation_id":"3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3","data":[${records.join(", ")}]}`)
  const seconds = bodiesNowMs / 1000
  const record = (members: string, at: number | string = seconds) => `{"timestamp":${at},${members}}`
  const isTaken = (...records: ReadonlyArray<string>) => takesShortWay(body(...records))
  const fields = (count: number, value = "1") => Array.from({ length: count }, (_, i) => `"f${i}":${value}`).join()

  const numbers = [
    ...["0", "-0", "0.0", "-0.000", "5", "-5", "9", "10", "12345678", "123456789", "1234567890", "999999999999999"],
    ...["0.5", "0.50", "5.0", "-7.25", "12.345600", "1234567.9", "12345678.9", "123456789.12345", "99999999999999.9"],
    ...["0.000001", "0.0000009", "0.00000099999", "-0.000001", "1e-20", "1.1e-20", "1e5", "1E+5", "1.5e-3", "0e0"],
    ...["1234567890123456", "0.1000000000000000055511151231257827", "9007199254740993", "1e13", "1.1e13", "1e999"],
    ...["2147483647", "2147483648", "4294967296.5", "0.123456789012345", "0.1234567890123456", "4.35", "1e-7", "-1"]
  ]
  const others = ["true", "false", "null", '""', '"W\\u00e4\\n"', '"long enough for two words"']

  it("reads each token as the plain way does, the first time and after any other", () => {
    const rotated = (tokens: ReadonlyArray<string>, shape: (name: string, token: string) => string) =>
      Array.from({ length: 2 * tokens.length }, (_, i) => {
        // Each field takes the tokens at a pace of its own; the last ones stand still for a while.
        const members = [1, 2, 3, 5, 7, 11, 0.5, 0.2].map((pace, k) =>
          shape(k === 3 ? "temp_outside" : `f${k}`, tokens[Math.floor(i * pace + k) % tokens.length]!)
        )
        return record(members.join(), `${seconds - 1_000 + i}${["", ".4", ".0", "e0", "000"][i % 5]}`)
      })
    const direct = (name: string, token: string) => `"${name}":${token}`
    assert.isTrue(isTaken(...rotated(numbers, direct)), "numbers")
    assert.isTrue(isTaken(...rotated([...numbers, ...others], direct)), "anything")
    assert.isTrue(
      isTaken(...rotated([...numbers, "true", "false", "null"], (name, token) => `"${name}":{"value":${token}}`)),
      "wrapped"
    )
    assert.isTrue(
      isTaken(...rotated([...numbers, ...others], (name, token) => `"${name}":{"text":${token},"value":3}`)),
      "beside"
    )
    for (const token of [...numbers, ...others]) {
      assert.isTrue(isTaken(record(`"a":1,"b":${token}`)), token)
      assert.isTrue(isTaken(record(`"b":${token},"a":1`)), `${token} before others`)
    }
  })

  it("finds room for what it writes, however much longer than the body that is", () => {
    for (const token of ["1", "1e12", "1e-7", "1234567890123.25", "true"]) {
      for (const records of [1, 2, 40]) {
        const bytes = body(...Array.from({ length: records }, (_, i) => record(fields(50 + i, token))))
        const [tight, roomy] = [1, 1_000_000].map((room) =>
          transcode(bytes, bodiesNowMs, 365 * 86_400_000, new ByteBuffer(room))
        )
        assert.deepStrictEqual(tight, roomy, `${token}, ${records} records`)
        assert.strictEqual(tight === undefined, records > 16)
      }
      const alike = body(...Array.from({ length: 40 }, (_, i) => record(fields(600, token), seconds + i)))
      const [tight, roomy] = [1, 1_000_000].map((room) =>
        transcode(alike, bodiesNowMs, 365 * 86_400_000, new ByteBuffer(room))
      )
      assert.deepStrictEqual(tight, roomy)
      assert.lengthOf(roomy?.readings ?? [], 40)
    }
  })

  it("leaves everything that is no JSON", () => {
    const malformed = [
      ...["01", "-01", "1.", ".5", "+1", "-", "-a", "1e", "1e+", "1.5e-", "0x1", "1.a", "--1", "1.5.5", "1e5.5"],
      ...[
        "tru",
        "trux",
        "fals",
        "nul",
        "nullx",
        "truefalse",
        "'a'",
        '"open',
        '"\\x"',
        '"\\x12ab"',
        '"\\u12g4"',
        '"\\u123"',
        '"\n"'
      ],
      ...['"a\u001f"', '"\\', "", "[1]", "[]", "{}", "1 2", '"a""b"', "NaN", "Infinity"]
    ]
    for (const token of malformed) {
      for (const members of [`"a":1,"b":${token}`, `"b":${token},"a":1`, `"a":1,"b":{"text":${token},"value":1}`]) {
        assert.isFalse(isTaken(record(members)), members)
        assert.isFalse(isTaken(record(members.replace(token, "1")), record(members)), `${members} after another`)
      }
      // Around the records, Python's NaN and infinities are read.
      if (/[NI]/.test(token)) continue
      assert.isFalse(
        takesShortWay(Buffer.from(body(record('"a":1')).toString().replace('{"i', `{"x":${token},"i`))),
        token
      )
    }
    const whole = body(record('"a":1'), record('"a":1')).toString()
    for (const wrong of [
      whole.slice(1),
      whole.slice(0, -1),
      whole.replace("[", ""),
      whole.replace("]", ""),
      whole.replace("]", ",]"),
      whole.replace("]", "}"),
      whole.replace(", {", " {"),
      whole.replace(", {", ", "),
      whole.replaceAll('"a":', '"a"'),
      whole.replaceAll('"a":', '"a"='),
      whole.replace('"a":1}', '"a":1'),
      whole.replace('"a":1}', '"a":1,}'),
      whole.replace('"a":1}', '"a":1]'),
      whole.replaceAll("a", 'a"a'),
      whole.replace(/"data".*/, '"x":1}')
    ]) {
      assert.notStrictEqual(wrong, whole)
      assert.isFalse(takesShortWay(Buffer.from(wrong)), wrong)
    }
    for (let length = 0; length < whole.length; length++) {
      assert.isFalse(takesShortWay(Buffer.from(whole.slice(0, length))), `${length} bytes`)
    }
  })

  it("takes what real clients send, and leaves what is unusual", () => {
    const pump = (tags: string, values = '"a":1') => `"heatpumps":[{${tags},"values":{${values}}}]`
    const pumps = (count: number, from = 0) =>
      `"heatpumps":[${Array.from({ length: count }, (_, i) => `{"id":"hp-${i + from}","values":{"a":${i}}}`).join()}]`
    const taken = [
      '"a":1',
      ' "a" :\t1 ,\n"b"\r:2 ',
      `"${"x".repeat(128)}":1`,
      '"_a":1,"A9":2',
      '"a":1,"text":"AUTO","nothing":null',
      '"a":{"value":1,"text":"AUTO","unit":null}',
      '"temp_outside":201,"a":1',
      fields(1_600),
      pump('"id":"hp-1"'),
      pump('"id":"hp-1","manufacturer":"idm","model":"AERO SLM","serial":5'),
      pump('"id":"hp-1","manufacturer":"","model":""'),
      pump(`"id":"${"h".repeat(64)}"`),
      `"a":1,${pumps(2)}`,
      pumps(31)
    ]
    const left = [
      '"a":"text"',
      '"a":null,"b":"x"',
      '"a":1,"a":1',
      '"a":{"value":1,"value":1}',
      '"a":{"text":"AUTO"},"b":1',
      '"a":{"value":"AUTO"},"b":1',
      '"a":{"value":{"value":1}},"b":1',
      '"a":[1],"b":1',
      '"__a":1,"b":1',
      '"9":1,"b":1',
      '"":1,"b":1',
      '"a b":1,"b":1',
      '"é":1,"b":1',
      `"${"x".repeat(129)}":1,"b":1`,
      fields(1_601),
      '"a":1,"timestamp":1',
      pump('"id":""'),
      pump('"id":"a,b"'),
      pump('"id":5'),
      pump('"id":"\\u0061"'),
      pump(`"id":"${"h".repeat(65)}"`),
      pump('"manufacturer":"idm"'),
      pump('"id":"hp-1","manufacturer":"a,b"'),
      pump('"id":"hp-1","manufacturer":null'),
      pump('"id":"hp-1","model":"a,b"'),
      pump('"id":"hp-1","id":"hp-2"'),
      pump('"id":"hp-1"', '"a":"text"'),
      '"heatpumps":[],"a":1',
      '"heatpumps":[{"id":"hp-1"}],"a":1',
      '"heatpumps":{"id":"hp-1","values":{"a":1}},"b":1',
      '"heatpumps":5,"a":1',
      `${pumps(2)},"a":1`,
      pumps(33)
    ]
    const before = record('"temp_outside":1', seconds - 60)
    for (const members of taken) {
      assert.isTrue(isTaken(record(members)), members.slice(0, 80))
      assert.isTrue(
        isTaken(before, record(members), before, record(members, seconds + 1)),
        `${members.slice(0, 80)} among others`
      )
    }
    for (const members of left) {
      assert.isFalse(isTaken(record(members)), members)
      assert.isFalse(isTaken(before, record(members), before), `${members} among others`)
    }
    for (const at of [
      '"1"',
      "null",
      "true",
      "0",
      "-1",
      "1e99",
      "1e-3",
      String(seconds + 86_401),
      String(seconds - 366 * 86_400)
    ]) {
      assert.isFalse(isTaken(record('"a":1', at)), at)
      assert.isFalse(isTaken(before, record('"a":1', at)), `${at} after another`)
    }
    assert.isFalse(isTaken('{"a":1}'))
    assert.isFalse(isTaken("5"))
    assert.isFalse(isTaken())
    assert.isTrue(isTaken(record(pumps(2)), record(pumps(2, 1)), record(pumps(2))))
    assert.isTrue(isTaken(record(pumps(31)), record(pumps(1, 31)), record(pumps(32))))
    assert.isFalse(isTaken(record(pumps(32)), record(pumps(1, 32))))
    assert.isTrue(isTaken(record(pumps(32)), record('"a":1')), "the home is no heat pump")
    assert.deepStrictEqual(
      [4_094, 4_095].map((count) => isTaken(record(`${fields(count, '"text"')},"a":1`))),
      [true, false]
    )
    // A home that changes its layout all the time, or has more names than a home can have.
    const layouts = (count: number) => Array.from({ length: count }, (_, i) => record(`"a${i}":1`))
    assert.deepStrictEqual([isTaken(...layouts(16)), isTaken(...layouts(40))], [true, false])
    assert.isTrue(isTaken(...layouts(40).flatMap((one) => [one, one, one])))
    const many = (i: number) => record(fields(1_500).replaceAll('"f', `"f${i}_`))
    assert.deepStrictEqual([isTaken(many(1), many(1)), isTaken(many(1), many(2), many(3))], [true, false])
  })

  it.each(payloadNames)("is taken by the real body %s, however it is written", (name) => {
    for (const [how, write] of Object.entries(rewritten)) {
      assert.isTrue(takesShortWay(Buffer.from(write(name)), Date.now()), how)
    }
  })

  it.each(["orderly", "any", "damaged", "real"] as const)(
    "comes to what the plain way comes to, or leaves it: %s bodies",
    (kind) => {
      assert.isAbove(shareTaken(kind, (kind === "real" ? 400 : 2_500) * share), kindsOfBodies[kind].taken)
    }
  )

  it("uses up a home's allowance of field names as the plain way does", () => {
    fc.assert(
      fc.property(fc.array(orderlyBody, { minLength: 2, maxLength: 8 }), fc.nat(6), (bodies, allowed) => {
        const [ours, plain] = [new FieldNames(allowed, 10), new FieldNames(allowed, 10)]
        for (const body of bodies) {
          assert.deepStrictEqual(decoded(body, bodiesNowMs, ours), plainly(body, bodiesNowMs, plain))
          assert.deepStrictEqual(ours.total, plain.total)
        }
      }),
      { numRuns: 300 * share }
    )
  })
})
