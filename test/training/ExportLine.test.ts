/** Exports of VictoriaMetrics: bytes to lines, lines to samples. */
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { ownerOf, readExportLine, seriesName } from "../../src/training/ExportLine.js"
import { LineSplitter } from "../../src/training/LineSplitter.js"

describe("LineSplitter", () => {
  it("gives the same lines whatever the pieces, and tells when the last has no end", () => {
    const text = fc.array(fc.constantFrom("a", "b", "\n"), { maxLength: 30 }).map((letters) => letters.join(""))
    fc.assert(
      fc.property(fc.array(text, { maxLength: 8 }), (pieces) => {
        const lines: Array<string> = []
        const splitter = new LineSplitter((line) => lines.push(line.toString()))
        for (const piece of pieces) {
          // A view into something larger, as pieces of a stream are.
          const bytes = new Uint8Array(Buffer.from(`..${piece}..`)).subarray(2, 2 + piece.length)
          splitter.push(bytes)
        }
        const expected = pieces.join("").split("\n")
        assert.strictEqual(splitter.isWithinLine, expected.at(-1) !== "")
        assert.deepStrictEqual(lines, expected.slice(0, -1))
      })
    )
  })
})

describe("ExportLine", () => {
  const labels = {
    __name__: "heatpump_metrics_temp_flow",
    installation_id: "i",
    model: "M",
    heatpump_id: "hp",
    more: "x"
  }
  const line = (change: object = {}) =>
    JSON.stringify({ metric: labels, values: [1, null], timestamps: [10, 20], ...change })

  it("holds samples and whose they are", () => {
    assert.deepStrictEqual(readExportLine(line()), {
      owner: { installationId: "i", model: "M", heatpumpId: "hp", sensor: "temp_flow" },
      timestamps: [10, 20],
      values: [1, null]
    })
    assert.strictEqual(seriesName("temp_flow"), labels.__name__)
    assert.deepStrictEqual(ownerOf({ __name__: "heatpump_metrics_x", installation_id: "i" }), {
      installationId: "i",
      model: "",
      heatpumpId: undefined,
      sensor: "x"
    })
  })

  it("belongs to nobody when it is of no installation or of another measurement", () => {
    const others: ReadonlyArray<Record<string, string>> = [
      { ...labels, __name__: "up" },
      { __name__: labels.__name__ },
      { installation_id: "i" }
    ]
    for (const metric of others) {
      assert.isUndefined(ownerOf(metric))
      assert.deepStrictEqual(readExportLine(line({ metric })), {
        owner: undefined,
        timestamps: [10, 20],
        values: [1, null]
      })
    }
  })

  it("is none when a part is missing, of another type, or does not match the others", () => {
    for (const text of [
      "",
      "null",
      "[]",
      line().slice(0, -1),
      line({ metric: { __name__: 1 } }),
      line({ metric: undefined }),
      line({ values: undefined }),
      line({ values: { length: 2 } }),
      line({ values: [1] }),
      line({ timestamps: [10, "20"] }),
      line({ timestamps: [10, 20, 30] }),
      line({ timestamps: { length: 2 } })
    ]) {
      assert.isUndefined(readExportLine(text), text)
    }
  })
})
