import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { ByteBuffer } from "../../src/pipeline/ByteBuffer.js"
import { FieldSetWriter, writeNumber } from "../../src/pipeline/FieldSetWriter.js"

describe("FieldSetWriter", () => {
  const written = (value: number) => {
    const bytes = Buffer.alloc(64)
    return bytes.toString("latin1", 0, writeNumber(bytes, 0, value))
  }

  it("writes each set as it is, whatever the sets before it and the room that is left", () => {
    for (const size of [1, 255, 256, 257, 600]) {
      const columns = Array.from({ length: size }, (_, i) => ({ key: Buffer.from(`f${i}=`) }))
      const values = Array.from({ length: size }, (_, i) => i / 10)
      const sets = [values, values, values.map((v, i) => (i % 3 === 1 ? -v : v)), values, values.map((v) => v + 1e13)]
      const text = (set: ReadonlyArray<number>) => set.map((value, i) => `f${i}=${value},`).join("")
      for (const room of [0, 1, 20, 1e6]) {
        const buffer = new ByteBuffer(room)
        const writer = new FieldSetWriter(buffer)
        let expected = ""
        for (const set of [...sets, ...sets]) {
          writer.write(columns, set)
          // Others append in between.
          buffer.append(Buffer.from(";"))
          expected += `${text(set.map((value) => value + 0))};`
        }
        assert.strictEqual(buffer.written().toString("latin1"), expected)
      }
    }
  })

  it("writes numbers that read back as exactly themselves", () => {
    const finite = fc.double({ noNaN: true, noDefaultInfinity: true })
    const fixed = fc.tuple(fc.integer(), fc.constantFrom(1, 10, 100, 1000, 10_000)).map(([n, scale]) => n / scale)
    const single = fc.float({ noNaN: true, noDefaultInfinity: true })
    const edge = fc.constantFrom(
      2 ** 31 / 1000,
      (2 ** 31 - 1) / 1000,
      2_147_483.648,
      2 ** 53,
      5e-324,
      0.1 + 0.2,
      1e21,
      1e-7
    )
    fc.assert(
      fc.property(fc.oneof(finite, fixed, single, edge), (value) => {
        const text = written(value)
        assert.strictEqual(Number(text) + 0, value + 0)
        assert.match(text, /^-?\d+(\.\d+)?(e[+-]\d+)?$/)
        assert.isAtMost(text.length, 25)
      }),
      { numRuns: 20_000 }
    )
    assert.deepStrictEqual([0, -0, 5.5, -7, 21.35, 100, 1795354038417, 0.001, -0.01].map(written), [
      "0",
      "0",
      "5.5",
      "-7",
      "21.35",
      "100",
      "1795354038417",
      "0.001",
      "-0.01"
    ])
  })
})
