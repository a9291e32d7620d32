/**
 * Line protocol → columns, on bytes. Understands what `pipeline/Encode` writes, which is a subset without escapes:
 * `measurement,tag=value,… field=number,… milliseconds\n`; all lines of a block have the same tags.
 *
 * Consecutive lines mostly have the same fields in the same order, so the field behind the one found last is tried
 * first. Cost: about 50 ns per sample.
 */

/** Where columns go: samples of one sensor, in the order of the lines. */
export interface ColumnSink {
  add(sensor: string, timestamps: ReadonlyArray<number>, values: ReadonlyArray<number>): void
}

interface Column {
  readonly name: string
  readonly key: Buffer
  readonly isWanted: boolean
  readonly timestamps: Array<number>
  readonly values: Array<number>
}

const comma = 0x2c
const minus = 0x2d
const point = 0x2e
const zero = 0x30
const nine = 0x39
const equals = 0x3d
const space = 0x20
const newline = 0x0a
/** Powers of ten that a double holds exactly. */
const powersOfTen = Array.from({ length: 16 }, (_, i) => 10 ** i)

/** Adds the samples of one block's lines to a sink; of `sensors` only. */
export const addLines = (lines: Buffer, sink: ColumnSink, sensors: ReadonlySet<string>): void => {
  const columns: Array<Column> = []
  let at = 0
  const columnAt = (guess: number, start: number, end: number): number => {
    for (let i = guess; i < columns.length && i < guess + 3; i++)
      if (hasKey(columns[i]!.key, lines, start, end)) return i
    const found = columns.findIndex(({ key }) => hasKey(key, lines, start, end))
    if (found >= 0) return found
    const key = Buffer.from(lines.subarray(start, end))
    const name = key.toString("latin1")
    return columns.push({ name, key, isWanted: sensors.has(name), timestamps: [], values: [] }) - 1
  }
  /** Columns of the current line; the timestamp comes last. */
  const touched: Array<Column> = []
  while (at < lines.length) {
    at = lines.indexOf(space, at) + 1
    if (at === 0) break
    touched.length = 0
    let column = -1
    for (let isOver = false; !isOver; ) {
      const keyStart = at
      while (lines[at] !== equals) at++
      column = columnAt(column + 1, keyStart, at)
      const start = ++at
      while (lines[at] !== comma && lines[at] !== space) at++
      const { isWanted, values } = columns[column]!
      if (isWanted) {
        values.push(readNumber(lines, start, at))
        touched.push(columns[column]!)
      }
      isOver = lines[at] === space
      at++
    }
    const start = at
    at = lines.indexOf(newline, start)
    if (at < 0) at = lines.length
    const timestamp = readNumber(lines, start, at)
    for (const { timestamps } of touched) timestamps.push(timestamp)
    at++
  }
  for (const { isWanted, name, timestamps, values } of columns) if (isWanted) sink.add(name, timestamps, values)
}

const hasKey = (key: Buffer, lines: Buffer, start: number, end: number): boolean => {
  if (key.length !== end - start) return false
  for (let i = 0; i < key.length; i++) if (key[i] !== lines[start + i]) return false
  return true
}

/**
 * A decimal of at most 15 digits is the quotient of two exact doubles, and so correctly rounded; others are left to V8.
 */
const readNumber = (lines: Buffer, start: number, end: number): number => {
  let mantissa = 0
  let digits = 0
  let pointAt = -1
  const isNegative = lines[start] === minus
  for (let i = isNegative ? start + 1 : start; i < end; i++) {
    const byte = lines[i]!
    if (byte >= zero && byte <= nine) {
      mantissa = mantissa * 10 + (byte - zero)
      digits++
    } else if (byte === point && pointAt < 0) pointAt = i
    else return Number(lines.toString("latin1", start, end))
  }
  if (digits > 15) return Number(lines.toString("latin1", start, end))
  const value = pointAt < 0 ? mantissa : mantissa / powersOfTen[end - pointAt - 1]!
  return isNegative ? -value : value
}
