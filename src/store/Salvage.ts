/**
 * Reads the blocks out of a database file that SQLite no longer can: torn, overwritten in places, without its first page,
 * its schema or the inner pages of its trees. SQLite finds rows from the root down; here every page is looked at for itself.
 *
 * Relied upon, all of https://www.sqlite.org/fileformat2.html:
 * - 1.3 The file begins with a magic string, the page size and constants. Pages are numbered from 1.
 * - 1.6 A leaf page of a table begins with 0x0d (after the 100 bytes of the header on page 1), and names its cells in an
 *   array of offsets. A cell is the payload's length, the rowid, and as much of the payload as fits; the rest is in
 *   overflow pages, each of which begins with the number of the next.
 * - 2.1 The payload is a header (its own length and one serial type per column), then the values without gaps. A column
 *   added later is missing in older rows. The alias of the rowid is stored as NULL.
 * - 4.1 The log's header and frames carry salts and a checksum that runs on from frame to frame. A frame whose third field
 *   is not zero ends a transaction; the last frame of a page counts.
 *
 * Promised:
 * - Nothing in the files makes it throw or run for ever; a sector that cannot be read is taken as zeros.
 * - A block is given only if its lines have the digest stored beside them. What the lines say of themselves (installation,
 *   heat pump, model, version, timestamps, counts) comes from them, not from the row, which nothing protects.
 * - A row whose own pages are whole is found, whatever happened to the others.
 * - One row is in memory at a time, and 16 bytes or so per page of the log.
 *
 * Not promised: that `id` and `receivedAtMs` are what they were, the order, and that a block comes once only or has not been
 * removed since: pages that are no longer in use may hold an earlier state. Nothing is sought in parts of a page that hold
 * no row any more; `secure_delete` has emptied them.
 */
import { createHash } from "node:crypto"
import { closeSync, fstatSync, openSync, readSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { readLines } from "./BlockReader.js"

export interface SalvagedBlock {
  readonly id: number
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

export interface SalvageResult {
  readonly blocks: number
  /** Rows that look like blocks and cannot be proved to be. */
  readonly damagedRows: number
}

/** Of a file whose header is lost. */
const usualPageBytes = 16_384
/** A block's lines are shorter, and so is its row. */
const maxBlockBytes = 64 * 2 ** 20
/** A disk loses no less than this at a time. */
const sectorBytes = 4096

const openIfThere = (file: string): number | undefined => {
  try {
    return openSync(file, "r")
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined
    throw error
  }
}

/** Fills `into`, with zeros where the file has ended or cannot be read. */
const readAt = (fd: number | undefined, into: Buffer, position: number): void => {
  into.fill(0)
  if (fd === undefined) return
  for (let at = 0; at < into.length; ) {
    try {
      const bytes = readSync(fd, into, at, into.length - at, position + at)
      if (bytes === 0) return
      at += bytes
    } catch {
      at += sectorBytes - ((position + at) % sectorBytes)
    }
  }
}

const isPageSize = (bytes: number) => bytes >= 512 && bytes <= 65_536 && Number.isInteger(Math.log2(bytes))

const magic = Buffer.from("SQLite format 3\0")
/** No reserved bytes, and the fractions of a page that a payload may take, which have only one legal value. */
const layout = Buffer.from([0, 64, 32, 32])

/** The page size that the file's header states; undefined when it is damaged. */
const statedPageBytes = (fd: number | undefined): number | undefined => {
  const header = Buffer.alloc(24)
  readAt(fd, header, 0)
  const pageBytes = header.readUInt16BE(16) === 1 ? 65_536 : header.readUInt16BE(16)
  const isWhole = header.indexOf(magic) === 0 && header.subarray(20).equals(layout) && isPageSize(pageBytes)
  return isWhole ? pageBytes : undefined
}

type Checksum = readonly [number, number]

const checksum = ([a, b]: Checksum, bytes: Buffer, isLittleEndian: boolean): Checksum => {
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < bytes.length; at += 8) {
    a = (a + words.getUint32(at, isLittleEndian) + b) >>> 0
    b = (b + words.getUint32(at + 4, isLittleEndian) + a) >>> 0
  }
  return [a, b]
}

const isChecksum = ([a, b]: Checksum, bytes: Buffer, at: number) =>
  bytes.readUInt32BE(at) === a && bytes.readUInt32BE(at + 4) === b

interface Log {
  readonly pageBytes: number
  /** Where in the log the last committed version of a page begins. */
  readonly positions: ReadonlyMap<number, number>
}

/** The log as far as it is valid; undefined when its header is not. */
const readLog = (fd: number | undefined): Log | undefined => {
  const header = Buffer.alloc(32)
  readAt(fd, header, 0)
  const isLittleEndian = header.readUInt32BE(0) === 0x377f0682
  const pageBytes = header.readUInt32BE(8)
  const salts = header.subarray(16, 24)
  let sum = checksum([0, 0], header.subarray(0, 24), isLittleEndian)
  if (!isLittleEndian && header.readUInt32BE(0) !== 0x377f0683) return undefined
  if (!isPageSize(pageBytes) || !isChecksum(sum, header, 24)) return undefined

  const positions = new Map<number, number>()
  const uncommitted = new Map<number, number>()
  const frame = Buffer.alloc(24 + pageBytes)
  for (let position = header.length; ; position += frame.length) {
    readAt(fd, frame, position)
    sum = checksum(sum, frame.subarray(0, 8), isLittleEndian)
    sum = checksum(sum, frame.subarray(24), isLittleEndian)
    const isValid = frame.subarray(8, 16).equals(salts) && isChecksum(sum, frame, 16)
    const page = frame.readUInt32BE(0)
    if (!isValid || page === 0) return { pageBytes, positions }
    uncommitted.set(page, position + 24)
    if (frame.readUInt32BE(4) === 0) continue
    for (const [page, position] of uncommitted) positions.set(page, position)
    uncommitted.clear()
  }
}

/** The pages of the file as they were after the last transaction in its log that can be read. */
class Pages {
  readonly pageBytes: number
  readonly count: number
  readonly #file: number | undefined
  readonly #logFile: number | undefined
  readonly #positions: ReadonlyMap<number, number>

  constructor(file: string) {
    this.#file = openIfThere(file)
    this.#logFile = openIfThere(`${file}-wal`)
    const log = readLog(this.#logFile)
    // The log's page size is the one under a checksum.
    this.pageBytes = log?.pageBytes ?? statedPageBytes(this.#file) ?? usualPageBytes
    this.#positions = log?.positions ?? new Map()
    let count = this.#file === undefined ? 0 : Math.ceil(fstatSync(this.#file).size / this.pageBytes)
    for (const page of this.#positions.keys()) count = Math.max(count, page)
    this.count = count
  }

  /** Fills `into`; false when there is no such page. */
  read(page: number, into: Buffer): boolean {
    if (page < 1 || page > this.count) return false
    const position = this.#positions.get(page)
    if (position !== undefined) readAt(this.#logFile, into, position)
    else readAt(this.#file, into, (page - 1) * this.pageBytes)
    return true
  }

  close(): void {
    for (const fd of [this.#file, this.#logFile]) if (fd !== undefined) closeSync(fd)
  }
}

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
  pages: Pages,
  page: Buffer,
  at: number,
  payloadBytes: number,
  overflow: Buffer
): Buffer | undefined => {
  const local = localBytes(payloadBytes, page.length)
  const payload = Buffer.allocUnsafe(payloadBytes)
  let have = page.copy(payload, 0, at, at + local)
  if (have < local) return undefined
  let next = have < payloadBytes ? (at + local + 4 <= page.length ? page.readUInt32BE(at + local) : 0) : 0
  // A chain that leads in a circle ends with the payload.
  while (have < payloadBytes) {
    if (!pages.read(next, overflow)) return undefined
    next = overflow.readUInt32BE(0)
    have += overflow.copy(payload, have, 4)
  }
  return payload
}

/** What the lines say of themselves; undefined when they are not one source's of one installation. */
const describeLines = (lines: Buffer) => {
  const text = lines.toString("latin1")
  const [, tags] = /^[^, ]+,([^ ]+) /.exec(text) ?? []
  if (tags === undefined || !text.endsWith("\n")) return undefined
  const tag = (name: string) => new RegExp(`(?:^|,)${name}=([^,]*)`).exec(tags)?.[1]
  const installationId = tag("installation_id")
  const model = tag("model")
  const version = tag("version")
  if (installationId === undefined || model === undefined || version === undefined) return undefined
  let firstTimestampMs = Number.POSITIVE_INFINITY
  let lastTimestampMs = 0
  let records = 0
  let samples = 0
  for (const record of readLines(lines)) {
    firstTimestampMs = Math.min(firstTimestampMs, record.timestampMs)
    lastTimestampMs = Math.max(lastTimestampMs, record.timestampMs)
    records++
    samples += record.values.size
  }
  const heatpumpId = tag("heatpump_id") ?? null
  return { installationId, heatpumpId, model, version, firstTimestampMs, lastTimestampMs, records, samples }
}

const gunzipped = (bytes: Buffer): Buffer | undefined => {
  try {
    return gunzipSync(bytes, { maxOutputLength: maxBlockBytes })
  } catch {
    return undefined
  }
}

/** The block in a payload; "damaged" when it looks like one and is not to be believed. */
const blockIn = (payload: Buffer, columns: ReadonlyArray<Value>, id: number): SalvagedBlock | "drained" | "damaged" => {
  const bytesIn = ({ from, to }: Value) => payload.subarray(from, to)
  const gzippedLines = bytesIn(columns[linesColumn]!)
  if (gzippedLines.length === 0) return "drained"
  const sha256 = bytesIn(columns[digestColumn]!)
  const lines = gunzipped(gzippedLines)
  if (lines === undefined || !createHash("sha256").update(lines).digest().equals(sha256)) return "damaged"
  const described = describeLines(lines)
  if (described === undefined) return "damaged"
  const receivedAtMs = integerIn(payload, columns[receivedColumn]!)
  return { ...described, id, receivedAtMs, sha256: Buffer.from(sha256), gzippedLines: Buffer.from(gzippedLines) }
}

/** Every block that can be proved genuine, page by page. */
export function* salvageBlocks(file: string): Generator<SalvagedBlock, SalvageResult> {
  const pages = new Pages(file)
  let blocks = 0
  let damagedRows = 0
  try {
    const page = Buffer.alloc(pages.pageBytes)
    const overflow = Buffer.alloc(pages.pageBytes)
    for (let number = 1; number <= pages.count; number++) {
      pages.read(number, page)
      for (const offset of cellsOf(page, number === 1 ? 100 : 0)) {
        const cell = new Varints(page, offset)
        const payloadBytes = cell.next()
        const id = cell.next()
        if (!(payloadBytes >= smallestRow && payloadBytes <= maxBlockBytes) || !Number.isSafeInteger(id)) continue
        const isBlock = columnsOf(page.subarray(cell.at), payloadBytes) !== undefined
        if (!isBlock) continue
        const payload = payloadOf(pages, page, cell.at, payloadBytes, overflow)
        const columns = payload === undefined ? undefined : columnsOf(payload, payloadBytes)
        const block = payload === undefined || columns === undefined ? "damaged" : blockIn(payload, columns, id)
        if (block === "damaged") damagedRows++
        else if (block !== "drained") {
          blocks++
          yield block
        }
      }
    }
    return { blocks, damagedRows }
  } finally {
    pages.close()
  }
}
