/**
 * Reads the blocks out of a database file that SQLite no longer can: torn, overwritten in places, without its first
 * page, its schema or the inner pages of its trees. SQLite finds rows from the root down; here every page is looked at
 * for itself.
 *
 * Relied upon, all of https://www.sqlite.org/fileformat2.html:
 * - 1.6 A leaf page of a table begins with 0x0d (after the 100 bytes of the header on page 1), and names its cells in
 *   an array of offsets. A cell is the payload's length, the rowid, and as much of the payload as fits; the rest is in
 *   overflow pages, each of which begins with the number of the next.
 * - 2.1 The payload is a header (its own length and one serial type per column), then the values without gaps. A column
 *   added later is missing in older rows. The alias of the rowid is stored as NULL.
 *
 * Promised:
 * - Nothing in the files makes it throw or run for ever.
 * - A block is given only if its lines have the digest stored beside them. What the lines say of themselves
 *   (installation, heat pump, model, version, timestamps, counts) comes from them, not from the row, which nothing
 *   protects.
 * - A row whose own pages are whole is found, whatever happened to the others.
 * - One row is in memory at a time.
 *
 * Not promised:
 * - The order, and that `receivedAtMs` is what it was; an impossible one becomes the last record's time.
 * - That a block comes once only or has not been removed since: pages out of use may hold an earlier state. Nothing is
 *   sought in parts of a page that hold no row any more; `secure_delete` has emptied them.
 *
 * Left out on purpose:
 * - Rows that have been drained. Their lines are in the database, and nothing could prove the rest of them. Should such
 *   a block come again, it is stored and sent again, which changes no sample.
 * - Whether a block was in quarantine: it waits again, is sent again, and refused again if it must be.
 * - The collector's name. The new file's is another, as if another collector had taken over: what the database had
 *   taken without the journal's having noted it counts twice as activity, and once as samples.
 */
import { createHash } from "node:crypto"
import { gunzipSync } from "node:zlib"
import { pageBytes } from "./Sqlite.js"
import { SqlitePages } from "./SqlitePages.js"

export interface SalvagedBlock {
  readonly installationId: string
  readonly heatpumpId: string | null
  readonly model: string
  readonly version: string
  readonly receivedAtMs: number
  readonly firstTimestampMs: number
  readonly lastTimestampMs: number
  readonly records: number
  readonly samples: number
  readonly sha256: Buffer
  readonly gzippedLines: Buffer
}

/** Of a row, and of its lines. A string, which some readers make of the lines, cannot be longer. */
const maxBlockBytes = 2 ** 29 - 2 ** 10

/** Reads one varint after the other. */
class Varints {
  constructor(
    readonly bytes: Buffer,
    public at: number
  ) {}

  /** NaN beyond the end. What exceeds 2^53, a negative number for instance, loses digits and still exceeds it. */
  next(): number {
    let value = 0
    for (let i = 0; i < 8; i++) {
      const byte = this.bytes[this.at++] ?? Number.NaN
      value = value * 128 + (byte % 128)
      if (!(byte >= 128)) return value
    }
    return value * 256 + (this.bytes[this.at++] ?? Number.NaN)
  }
}

/** The offsets of a page's cells, in range or not; none when it is no leaf of a table. */
function* cellsOf(page: Buffer, header: number): Generator<number> {
  if (page[header] !== 0x0d) return
  const count = page.readUInt16BE(header + 3)
  const end = Math.min(header + 8 + 2 * count, page.length - 1)
  for (let at = header + 8; at < end; at += 2) yield page.readUInt16BE(at)
}

/** How much of a payload is in its cell; the names are those of section 1.6. */
const localBytes = (P: number, U: number): number => {
  if (P <= U - 35) return P
  const M = Math.floor(((U - 12) * 32) / 255) - 23
  const K = M + ((P - M) % (U - 4))
  return K <= U - 35 ? K : M
}

type IsType = (serialType: number) => boolean
const isNull: IsType = (type) => type === 0
const isInteger: IsType = (type) => (type >= 1 && type <= 6) || type === 8 || type === 9
const isBlob: IsType = (type) => type >= 12 && type % 2 === 0
const isText: IsType = (type) => type >= 13 && type % 2 === 1
const orNull =
  (is: IsType): IsType =>
  (type) =>
    isNull(type) || is(type)

/** The columns of `block` in all versions of the schema. */
const shape: ReadonlyArray<IsType> = [
  isNull,
  isText,
  orNull(isText),
  isText,
  isText,
  ...[isInteger, isInteger, isInteger, isInteger, isInteger],
  isBlob,
  isBlob,
  ...[orNull(isInteger), orNull(isInteger), orNull(isText)]
]
const columnsAtFirst = 12
const receivedColumn = 5
const digestColumn = 10
const linesColumn = 11
/** The header of a row and an id, a digest and a few more bytes. */
const smallestRow = 100

/** The length of a value; the types 10 and 11 do not occur. */
const bytesOf = (type: number): number =>
  type < 12 ? ([0, 1, 2, 3, 4, 6, 8, 8, 0, 0][type] ?? 0) : Math.floor((type - 12) / 2)

interface Value {
  readonly type: number
  readonly from: number
  readonly to: number
}

/** Where in a payload the columns of a block are; undefined when it is no block. */
const columnsOf = (payload: Buffer, payloadBytes: number): ReadonlyArray<Value> | undefined => {
  const header = new Varints(payload, 0)
  const headerBytes = header.next()
  if (!(headerBytes <= payload.length)) return undefined
  const values: Array<Value> = []
  let from = headerBytes
  while (header.at < headerBytes) {
    const type = header.next()
    const is = shape[values.length]
    if (is === undefined || !is(type)) return undefined
    const to = from + bytesOf(type)
    values.push({ type, from, to })
    from = to
  }
  const isWhole = header.at === headerBytes && from === payloadBytes && values.length >= columnsAtFirst
  return isWhole ? values : undefined
}

/** The value of an integer column; those that a damaged row may hold beyond 2^53 lose digits. */
const integerIn = (payload: Buffer, { from, to, type }: Value): number => {
  if (type === 8 || type === 9) return type - 8
  return to - from === 8 ? Number(payload.readBigInt64BE(from)) : payload.readIntBE(from, to - from)
}

/** The whole payload of a cell, put together from its overflow pages; undefined when one of them is missing. */
const payloadOf = (
  pages: SqlitePages,
  page: Buffer,
  at: number,
  payloadBytes: number,
  overflow: Buffer
): Buffer | undefined => {
  const local = localBytes(payloadBytes, pageBytes)
  const end = at + local
  if (end + (local < payloadBytes ? 4 : 0) > pageBytes || payloadBytes > pages.totalBytes) return undefined
  const payload = Buffer.allocUnsafe(payloadBytes)
  let have = page.copy(payload, 0, at, end)
  let next = have < payloadBytes ? page.readUInt32BE(end) : 0
  // A chain that leads in a circle ends with the payload.
  while (have < payloadBytes) {
    if (!pages.read(next, overflow)) return undefined
    next = overflow.readUInt32BE(0)
    have += overflow.copy(payload, have, 4)
  }
  return payload
}

const space = 0x20
const newline = 0x0a
const comma = 0x2c

/** What the lines say of themselves; undefined when they are not lines that `Encode` has written for a source. */
const describeLines = (lines: Buffer) => {
  const series = lines.toString("latin1", 0, Math.max(0, lines.indexOf(space)))
  const tags = new Map(
    series.split(",").map((tag): readonly [string, string] => {
      const [name = "", value = ""] = tag.split("=")
      return [name, value]
    })
  )
  const installationId = tags.get("installation_id")
  const model = tags.get("model")
  const version = tags.get("version")
  if (installationId === undefined || model === undefined || version === undefined) return undefined
  let firstTimestampMs = Number.POSITIVE_INFINITY
  let lastTimestampMs = 0
  let records = 0
  let samples = 0
  for (let from = 0; from < lines.length; ) {
    const fieldsAt = lines.indexOf(space, from) + 1
    const timestampAt = lines.indexOf(space, fieldsAt) + 1
    const end = lines.indexOf(newline, timestampAt)
    if (!(from < fieldsAt && fieldsAt < timestampAt && timestampAt < end)) return undefined
    const timestampMs = Number(lines.toString("latin1", timestampAt, end))
    if (!Number.isSafeInteger(timestampMs)) return undefined
    firstTimestampMs = Math.min(firstTimestampMs, timestampMs)
    lastTimestampMs = Math.max(lastTimestampMs, timestampMs)
    records++
    samples++
    for (let at = fieldsAt; at < timestampAt; at++) if (lines[at] === comma) samples++
    from = end + 1
  }
  const heatpumpId = tags.get("heatpump_id") ?? null
  return { installationId, heatpumpId, model, version, firstTimestampMs, lastTimestampMs, records, samples }
}

const gunzipped = (bytes: Buffer): Buffer | undefined => {
  try {
    return gunzipSync(bytes, { maxOutputLength: maxBlockBytes })
  } catch {
    return undefined
  }
}

/** Records may be a day ahead of the server, and its clock may have been set since. */
const isPossible = (receivedAtMs: number, lastTimestampMs: number, nowMs: number) =>
  receivedAtMs > lastTimestampMs - 2 * 86_400_000 && receivedAtMs <= nowMs

/** The block in a payload; "damaged" when it looks like one and is not to be believed. */
const blockIn = (
  payload: Buffer,
  columns: ReadonlyArray<Value>,
  nowMs: number
): SalvagedBlock | "drained" | "damaged" => {
  const bytesIn = ({ from, to }: Value) => payload.subarray(from, to)
  const gzippedLines = bytesIn(columns[linesColumn]!)
  if (gzippedLines.length === 0) return "drained"
  const sha256 = bytesIn(columns[digestColumn]!)
  const lines = gunzipped(gzippedLines)
  if (lines === undefined || !createHash("sha256").update(lines).digest().equals(sha256)) return "damaged"
  const described = describeLines(lines)
  if (described === undefined) return "damaged"
  const stated = integerIn(payload, columns[receivedColumn]!)
  const { lastTimestampMs } = described
  const receivedAtMs = isPossible(stated, lastTimestampMs, nowMs) ? stated : Math.min(lastTimestampMs, nowMs)
  return { ...described, receivedAtMs, sha256, gzippedLines }
}

/**
 * Every block that can be proved genuine, page by page; then the number of rows that look like blocks and cannot be.
 */
export function* salvageBlocks(file: string, nowMs: number): Generator<SalvagedBlock, number> {
  const pages = new SqlitePages(file)
  let damagedRows = 0
  try {
    const page = Buffer.alloc(pageBytes)
    const overflow = Buffer.alloc(pageBytes)
    for (const number of pages.numbers()) {
      pages.read(number, page)
      for (const offset of cellsOf(page, number === 1 ? 100 : 0)) {
        const cell = new Varints(page, offset)
        const payloadBytes = cell.next()
        const rowid = cell.next()
        if (!(payloadBytes >= smallestRow && payloadBytes <= maxBlockBytes) || !Number.isSafeInteger(rowid)) continue
        const columns = columnsOf(page.subarray(cell.at), payloadBytes)
        if (columns === undefined) continue
        const payload = payloadOf(pages, page, cell.at, payloadBytes, overflow)
        const block = payload === undefined ? "damaged" : blockIn(payload, columns, nowMs)
        if (block === "damaged") damagedRows++
        else if (block !== "drained") yield block
      }
    }
    return damagedRows
  } finally {
    pages.close()
  }
}
