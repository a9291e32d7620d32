import { assert, describe, it } from "@effect/vitest"
import { hasGiantObject, isTooDense } from "../../src/pipeline/Structure.js"

describe("isTooDense", () => {
  /** So many brackets, one of each kind after the other, among so many bytes in all. */
  const body = (bytes: number, brackets: number) => {
    const text = Buffer.alloc(bytes, " ")
    for (let i = 0; i < brackets; i++)
      text[bytes - 1 - Math.floor((i * (bytes - 1)) / brackets)] = "{["[i % 2]!.charCodeAt(0)
    return text
  }

  it("is, beyond 150,000 opening brackets, a body with one for less than 64 bytes", () => {
    for (const [bytes, allowed] of [
      [4_000_000, 150_000],
      [9_600_000, 150_000],
      [16 * 1024 * 1024, 262_144]
    ] as const) {
      assert.isFalse(isTooDense(body(bytes, allowed)))
      assert.isTrue(isTooDense(body(bytes, allowed + 1)))
    }
  })

  it("is a body with an opening bracket for less than 24 bytes, unless it is small", () => {
    const small = 64 * 1024
    assert.isFalse(isTooDense(body(small, small / 2)))
    for (const bytes of [small + 8, 24 * 10_000]) {
      const allowed = Math.floor(bytes / 24)
      assert.isFalse(isTooDense(body(bytes, allowed)))
      assert.isTrue(isTooDense(body(bytes, allowed + 1)))
    }
    for (const bracket of ["{", "["]) {
      assert.isTrue(isTooDense(Buffer.alloc(100_000, bracket)), bracket)
      assert.isTrue(isTooDense(Buffer.from(bracket.repeat(5_000) + " ".repeat(95_000))), "at the beginning")
      assert.isTrue(isTooDense(Buffer.from(" ".repeat(95_000) + bracket.repeat(5_000))), "at the end")
    }
    for (const other of ["}", "]", "(", '"', ","]) assert.isFalse(isTooDense(Buffer.alloc(100_000, other)), other)
  })
})

describe("hasGiantObject", () => {
  const object = (fields: number, value = "1") =>
    `{${Array.from({ length: fields }, (_, i) => `"${i}":${value}`).join()}}`
  const giant = (text: string) => hasGiantObject(Buffer.from(text))
  const [largest, tooLarge] = [object(20_000), object(20_001)]
  const elements = `[${"1,".repeat(30_000)}1]`

  it("is one of more than 20,000 fields, wherever it stands", () => {
    for (const around of [
      (inner: string) => inner,
      (inner: string) => `[${inner}]`,
      (inner: string) => `{"a":1,"b":${inner},"c":2}`,
      (inner: string) => `[${elements},{"a":[{}]},${inner},${elements}]`,
      (inner: string) => `{"a":{"b":[],"c":{}},"d":[1,[${inner}]]}`,
      // What is no JSON is for the parser to say.
      (inner: string) => `]}]${inner}`
    ]) {
      assert.isFalse(giant(around(largest)))
      assert.isTrue(giant(around(tooLarge)))
    }
  })

  it("counts the fields of each object for itself, and no elements of arrays", () => {
    assert.isFalse(giant(elements))
    assert.isFalse(giant(`[${Array.from({ length: 300 }, () => object(100)).join()}]`))
    assert.isFalse(giant(`{"a":${elements},"b":${elements}}`))
    // Around others and behind them it is still the same object.
    const half = Array.from({ length: 10_001 }, (_, i) => `"${i}":0`).join()
    for (const inner of ["{}", "[]", '{"x":[1,2]}', object(100), "[{},{}]"]) {
      assert.isTrue(giant(`{${half},"n":${inner},${half}}`), inner)
      assert.isFalse(giant(`[{${half}},${inner},{${half}}]`), inner)
    }
  })

  it("takes what stands in strings for text", () => {
    assert.isFalse(giant(`{"a":"${",".repeat(30_000)}"}`))
    assert.isFalse(giant(`{"a":"\\"${",".repeat(30_000)}"}`))
    assert.isFalse(giant(`{"a":"${",".repeat(30_000)}`), "without an end")
    for (const text of ["}", "{", "[", "]", "\\\\", '\\"', '\\\\\\"}', "\\u0022"]) {
      assert.isFalse(giant(object(20_000, `"${text}"`)), text)
      assert.isTrue(giant(object(20_001, `"${text}"`)), text)
    }
  })
})
