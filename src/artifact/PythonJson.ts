/**
 * JSON byte for byte as CPython's `json.dumps(value, sort_keys=True)` writes it: what clients sign and verify is that
 * text, made again from what they have parsed.
 *
 * - Separators `", "` and `": "`, keys in order of their code points, everything but printable ASCII as `\uXXXX`
 *   (https://docs.python.org/3/library/json.html, `ensure_ascii`).
 * - Safe integers are Python's `int`; every other number is a `float` and written as `float.__repr__` does: the
 *   shortest digits that read back, an exponent below 1e-4 and from 1e16 on
 *   (https://github.com/python/cpython/blob/v3.12.0/Python/pystrtod.c, `format_float_short`).
 *
 * Invariant: `json.dumps(json.loads(pythonJson(v)), sort_keys=True) === pythonJson(v)`.
 */
import { compareCodePoints } from "./compareCodePoints.js"

export type PythonJson =
  | null
  | boolean
  | number
  | string
  | ReadonlyArray<PythonJson>
  | { readonly [key: string]: PythonJson }

const shortEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t"
}

const quoted = (text: string): string => {
  // By UTF-16 unit: Python writes what is beyond the first plane as two surrogates too.
  const escaped = text.replace(
    /["\\]|[^ -~]/g,
    (unit) => shortEscapes[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
  return `"${escaped}"`
}

/** `float.__repr__`. */
const floatRepr = (value: number): string => {
  if (Number.isNaN(value)) return "NaN"
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity"
  const [, sign, first, rest = "", exponentText] = /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(
    Object.is(value, -0) ? "-0e+0" : value.toExponential()
  )!
  const digits = first! + rest
  const exponent = Number(exponentText)
  if (exponent < -4 || exponent >= 16) {
    const power = String(Math.abs(exponent)).padStart(2, "0")
    return `${sign}${first}${rest === "" ? "" : `.${rest}`}e${exponent < 0 ? "-" : "+"}${power}`
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0")
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`
}

const numberText = (value: number): string =>
  Number.isSafeInteger(value) && !Object.is(value, -0) ? String(value) : floatRepr(value)

const isArray: (value: PythonJson) => value is ReadonlyArray<PythonJson> = Array.isArray

export const pythonJson = (value: PythonJson): string => {
  if (value === null) return "null"
  if (typeof value === "boolean") return String(value)
  if (typeof value === "number") return numberText(value)
  if (typeof value === "string") return quoted(value)
  if (isArray(value)) return `[${value.map(pythonJson).join(", ")}]`
  const entries = Object.entries(value).sort(([a], [b]) => compareCodePoints(a, b))
  return `{${entries.map(([key, item]) => `${quoted(key)}: ${pythonJson(item)}`).join(", ")}}`
}
