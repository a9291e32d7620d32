/**
 * Influx line protocol, written byte by byte.
 *
 * Source of the format: InfluxDB line protocol reference, as VictoriaMetrics reads it
 * (`measurement,tag=value field=1,other=2.5 timestamp`). Well-formedness is proven by types, not by escaping: tags and
 * field names have passed patterns without any special character, and numbers are finite.
 */
import type { ByteBuffer } from "./ByteBuffer.js"

const comma = 0x2c
const point = 0x2e
const minus = 0x2d
const zero = 0x30
const space = 0x20
const newline = 0x0a

/** The longest number, `-1.2345678901234567e-308`, has 24. */
const maxNumberBytes = 32

/** Appends one line; `prefix` is the measurement with its tags and the space behind them, `keys[i]` is `name=`. */
export const writeLine = (
  buffer: ByteBuffer,
  prefix: Buffer,
  fields: ReadonlyArray<{ readonly key: Uint8Array }>,
  values: ReadonlyArray<number>,
  timestampMs: number
): void => {
  buffer.append(prefix)
  for (let i = 0; i < fields.length; i++) {
    const key = fields[i]!.key
    const keyLength = key.length
    buffer.reserve(keyLength + 1 + 2 * maxNumberBytes)
    const bytes = buffer.bytes
    let at = buffer.length
    if (i > 0) bytes[at++] = comma
    for (let k = 0; k < keyLength; k++) bytes[at++] = key[k]!
    buffer.length = writeNumber(bytes, at, values[i]!)
  }
  const bytes = buffer.bytes
  bytes[buffer.length++] = space
  buffer.length = writeNumber(bytes, buffer.length, timestampMs)
  bytes[buffer.length++] = newline
}

/** Decimals of the fixed-point path: sensors have one or two, clocks three. */
const scale = 1000

/**
 * Writes the shortest decimal that reads back as exactly `value`.
 *
 * Fixed-point path: when k / 1000 === value for the integer k nearest to 1000 · value, then "k with a point before its
 * last three digits" reads back as value, because both the division and the reader round the same real number k / 1000
 * correctly. Everything else goes through ECMAScript's Number::toString, which is exact by definition.
 */
export const writeNumber = (bytes: Uint8Array, start: number, value: number): number => {
  let at = start
  const magnitude = value < 0 ? -value : value
  const scaled = Math.round(magnitude * scale)
  if (!(scaled < 0x7fffffff && scaled / scale === magnitude)) return writeText(bytes, at, String(value))
  if (value < 0) bytes[at++] = minus
  const whole = (scaled / scale) | 0
  at = writeInteger(bytes, at, whole)
  let rest = scaled - whole * scale
  if (rest === 0) return at
  bytes[at++] = point
  for (let place = scale / 10; rest > 0; place /= 10) {
    const digit = (rest / place) | 0
    bytes[at++] = zero + digit
    rest -= digit * place
  }
  return at
}

const writeInteger = (bytes: Uint8Array, start: number, whole: number): number => {
  let digits = 1
  for (let bound = 10; whole >= bound; bound *= 10) digits++
  let rest = whole
  for (let at = start + digits - 1; at >= start; at--) {
    const next = (rest / 10) | 0
    bytes[at] = zero + (rest - next * 10)
    rest = next
  }
  return start + digits
}

const writeText = (bytes: Uint8Array, start: number, text: string): number => {
  for (let i = 0; i < text.length; i++) bytes[start + i] = text.charCodeAt(i)
  return start + text.length
}
