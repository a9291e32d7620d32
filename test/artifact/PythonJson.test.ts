import { assert, describe, it } from "@effect/vitest"
import { type PythonJson, pythonJson } from "../../src/artifact/PythonJson.js"

/** As `json.dumps(value, sort_keys=True)` of CPython 3.11 wrote them. */
const written: ReadonlyArray<readonly [PythonJson, string]> = [
  [0, "0"],
  [-0, "-0.0"],
  [12, "12"],
  [-5, "-5"],
  [1.5, "1.5"],
  [-0.1, "-0.1"],
  [100.25, "100.25"],
  [0.30000000000000004, "0.30000000000000004"],
  [1795354038.417, "1795354038.417"],
  [Number.MAX_SAFE_INTEGER, "9007199254740991"],
  [2 ** 53, "9007199254740992.0"],
  [-(2 ** 53) - 2, "-9007199254740994.0"],
  [9.1e15, "9100000000000000.0"],
  [1e16, "1e+16"],
  [1.5e16, "1.5e+16"],
  [123456789012345680, "1.2345678901234568e+17"],
  [1e22, "1e+22"],
  [1e100, "1e+100"],
  [1e-4, "0.0001"],
  [0.00012345, "0.00012345"],
  [1e-5, "1e-05"],
  [-1e-7, "-1e-07"],
  [1.25e-7, "1.25e-07"],
  [5e-324, "5e-324"],
  [1.7976931348623157e308, "1.7976931348623157e+308"],
  [Number.NaN, "NaN"],
  [Number.POSITIVE_INFINITY, "Infinity"],
  [Number.NEGATIVE_INFINITY, "-Infinity"],
  [
    {
      b: [1, null, true, false, -5],
      "\u{10000}": 1,
      "\uffff": 2,
      ab: '"\\\b\f\n\r\t\0\x1f ~\x7fä\u{1f525}/',
      a: [],
      "": {}
    },
    String.raw`{"": {}, "a": [], "ab": "\"\\\b\f\n\r\t\u0000\u001f ~\u007f\u00e4\ud83d\udd25/", ` +
      String.raw`"b": [1, null, true, false, -5], "\uffff": 2, "\ud800\udc00": 1}`
  ]
]

describe("pythonJson", () => {
  it.each(written.map(([value, text]) => [text, value] as const))("writes %s", (text, value) => {
    assert.strictEqual(pythonJson(value), text)
  })
})
