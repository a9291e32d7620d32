/**
 * The field sets of Influx line protocol (`name=1,other=2.5`), written byte by byte.
 *
 * Well-formedness is proven by types, not by escaping: field names have passed a pattern without any special character,
 * and numbers are finite.
 */
import type { ByteBuffer } from "./ByteBuffer.js"

const comma = 0x2c
const point = 0x2e
const minus = 0x2d
const zero = 0x30

/** The longest number, like `-0.0000012345678901234567`, has 25. */
export const maxNumberBytes = 32

interface Column {
  /** `name=` in ASCII. */
  readonly key: Uint8Array
}

/**
 * Appends the field sets of one source to `buffer`, to which others may append in between.
 *
 * Most sensors stand still from one record to the next, so stretches of unchanged fields are copied from the set before.
 * `starts[i]` is where the previous set's field i begins, and each field is written with the comma behind it.
 */
export class FieldSetWriter {
  private columns: ReadonlyArray<Column> = []
  private values: ReadonlyArray<number> = []
  private starts = new Uint32Array(256)

  constructor(private readonly buffer: ByteBuffer) {}

  /** One set of at least one field; `values[i]` belongs to `columns[i]` and is finite. The last comma stays behind it. */
  write(columns: ReadonlyArray<Column>, values: ReadonlyArray<number>): void {
    const { buffer, values: previous } = this
    const isSameLayout = columns === this.columns
    const count = columns.length
    if (this.starts.length <= count) this.starts = new Uint32Array(count * 2)
    const starts = this.starts
    let unchangedFrom = -1
    for (let i = 0; i < count; i++) {
      if (isSameLayout && values[i] === previous[i]) {
        if (unchangedFrom < 0) unchangedFrom = i
        continue
      }
      if (unchangedFrom >= 0) this.repeat(unchangedFrom, i)
      unchangedFrom = -1
      const key = columns[i]!.key
      const keyLength = key.length
      buffer.reserve(keyLength + maxNumberBytes + 1)
      const bytes = buffer.bytes
      let at = buffer.length
      starts[i] = at
      for (let k = 0; k < keyLength; k++) bytes[at++] = key[k]!
      at = writeNumber(bytes, at, values[i]!)
      bytes[at++] = comma
      buffer.length = at
    }
    if (unchangedFrom >= 0) this.repeat(unchangedFrom, count)
    starts[count] = buffer.length
    this.columns = columns
    this.values = values
  }

  /** Copies the fields from `first` up to and without `end` from the previous set. */
  private repeat(first: number, end: number): void {
    const { buffer, starts } = this
    const from = starts[first]!
    const length = starts[end]! - from
    buffer.reserve(length)
    const shift = buffer.length - from
    buffer.bytes.copyWithin(buffer.length, from, from + length)
    buffer.length += length
    for (let i = first; i < end; i++) starts[i] = starts[i]! + shift
  }
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
