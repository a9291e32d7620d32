/**
 * The pages of a database file and its log, read without SQLite, which refuses a file that is damaged.
 *
 * Relied upon, all of https://www.sqlite.org/fileformat2.html:
 * - 1.2 Pages are numbered from 1; ours are all of one size.
 * - 1.3 The file begins with a magic string, has the user version at 60 and the application id at 68.
 * - 4.1 The log's header holds salts and a checksum, and so does each frame. A frame's checksum covers its page and
 *   runs on from the checksum before it. A frame whose second field is not zero ends a transaction.
 * - 4.4 The last frame of a page counts. SQLite takes the log to end at the first frame that does not fit, and does not
 *   say so.
 *
 * What stands beyond that end decides what has happened:
 * - Nothing with the header's salts: the log is whole. Other salts are those of earlier transactions, long written
 *   back.
 * - Up to one transaction: the log is torn. A commit is synced before the next begins, so this one was never
 *   acknowledged.
 * - Several transactions, or any behind a header that does not fit: the log is broken. They were acknowledged, and each
 *   frame can still be checked against the checksum before it. Frames that are damaged tell of them too: by a second end of
 *   a transaction, or a page that comes again before it ends, which within one transaction is overwritten in its frame
 *   (https://www.sqlite.org/releaselog/3_11_0.html). What a failed transaction has left behind the end has none.
 *
 * Promised: nothing in the files makes it throw or run for ever; what cannot be read is taken as zeros.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs"
import { pageBytes } from "./Sqlite.js"

/** A disk loses no less than this at a time. */
const sectorBytes = 4096
const logHeaderBytes = 32
const frameHeaderBytes = 24
const frameBytes = frameHeaderBytes + pageBytes

interface Log {
  readonly state: "whole" | "torn" | "broken"
  /** Where in the log the last version of a page begins; uncommitted ones do not count. */
  readonly positions: ReadonlyMap<number, number>
}

const openIfThere = (file: string): number | undefined => {
  try {
    return openSync(file, "r")
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined
    throw error
  }
}

/** Fills `into`, with zeros where the file has ended or cannot be read. */
const readAt = (fd: number, into: Buffer, position: number): void => {
  into.fill(0)
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

type Checksum = readonly [number, number]

const runOn = ([a, b]: Checksum, bytes: Buffer, isLittleEndian: boolean): Checksum => {
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < bytes.length; at += 8) {
    a = (a + words.getUint32(at, isLittleEndian) + b) >>> 0
    b = (b + words.getUint32(at + 4, isLittleEndian) + a) >>> 0
  }
  return [a, b]
}

const checksumAt = (bytes: Buffer, at: number): Checksum => [bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)]

const fits = (frame: Buffer, previous: Checksum, isLittleEndian: boolean): boolean => {
  const sum = runOn(
    runOn(previous, frame.subarray(0, 8), isLittleEndian),
    frame.subarray(frameHeaderBytes),
    isLittleEndian
  )
  const stored = checksumAt(frame, 16)
  return sum[0] === stored[0] && sum[1] === stored[1]
}

const saltsOf = (frame: Buffer) => frame.readBigUInt64BE(8)

function* framesOf(fd: number): Generator<{ readonly frame: Buffer; readonly position: number }> {
  const frame = Buffer.alloc(frameBytes)
  const end = fstatSync(fd).size
  for (let position = logHeaderBytes; position < end; position += frameBytes) {
    readAt(fd, frame, position)
    yield { frame, position }
  }
}

/** The salts of the first frame that fits the one before it: the best there is without a header. */
const saltsWithoutHeader = (fd: number): bigint | undefined => {
  let previous: { readonly salts: bigint; readonly checksum: Checksum } | undefined
  for (const { frame } of framesOf(fd)) {
    const salts = saltsOf(frame)
    if (salts !== 0n && salts === previous?.salts && fits(frame, previous.checksum, true)) return salts
    previous = { salts, checksum: checksumAt(frame, 16) }
  }
  return undefined
}

const readLog = (fd: number): Log => {
  const header = Buffer.alloc(logHeaderBytes)
  readAt(fd, header, 0)
  const magic = header.readUInt32BE(0)
  // Without a header: what almost every computer has written.
  const isLittleEndian = magic !== 0x377f0683
  const headerSum = runOn([0, 0], header.subarray(0, 24), isLittleEndian)
  const stated = checksumAt(header, 24)
  const isHeaderWhole =
    (magic === 0x377f0682 || magic === 0x377f0683) &&
    header.readUInt32BE(8) === pageBytes &&
    headerSum[0] === stated[0] &&
    headerSum[1] === stated[1]
  const salts = isHeaderWhole ? header.readBigUInt64BE(16) : saltsWithoutHeader(fd)

  const positions = new Map<number, number>()
  const beyond = new Map<number, number>()
  const uncommitted = new Map<number, number>()
  let isBeyond = !isHeaderWhole
  let framesBeyond = 0
  let endsBeyond = 0
  /** Of the transaction that is being read, and from a damaged one on of all. */
  const pages = new Set<number>()
  let isPageRepeated = false
  /** Unknown behind a frame that has lost its header. */
  let previous: Checksum | undefined = isHeaderWhole ? headerSum : undefined
  for (const { frame, position } of framesOf(fd)) {
    const page = frame.readUInt32BE(0)
    const hasSalts = saltsOf(frame) === salts
    const isWhole = hasSalts && page !== 0 && (previous === undefined || fits(frame, previous, isLittleEndian))
    previous = hasSalts ? checksumAt(frame, 16) : undefined
    if (!isWhole) isBeyond = true
    const isEnd = hasSalts && frame.readUInt32BE(4) !== 0
    if (isBeyond && hasSalts) framesBeyond++
    if (isBeyond && isEnd) endsBeyond++
    if (hasSalts) {
      if (pages.has(page)) isPageRepeated = true
      pages.add(page)
    }
    if (!isWhole) continue
    uncommitted.set(page, position + frameHeaderBytes)
    if (!isEnd) continue
    for (const [page, at] of uncommitted) (isBeyond ? beyond : positions).set(page, at)
    uncommitted.clear()
    if (!isBeyond) pages.clear()
  }
  const isBroken = isHeaderWhole
    ? endsBeyond > 1 || (endsBeyond > 0 && isPageRepeated)
    : endsBeyond > 0 || header.some((byte) => byte !== 0)
  if (isBroken) return { state: "broken", positions: new Map([...positions, ...beyond]) }
  return { state: framesBeyond + uncommitted.size > 0 ? "torn" : "whole", positions }
}

/** The pages as they were after the last transaction; those of a broken log as late as they can be read. */
export class SqlitePages {
  readonly fileBytes: number
  readonly log: Log
  readonly #file: number | undefined
  readonly #logFile: number | undefined

  constructor(file: string) {
    this.#file = openIfThere(file)
    this.#logFile = openIfThere(`${file}-wal`)
    this.fileBytes = this.#file === undefined ? 0 : fstatSync(this.#file).size
    this.log =
      this.#logFile === undefined || fstatSync(this.#logFile).size === 0
        ? { state: "whole", positions: new Map() }
        : readLog(this.#logFile)
  }

  /** No payload can be longer. */
  get totalBytes(): number {
    return this.fileBytes + this.log.positions.size * pageBytes
  }

  /** The numbers of all pages. */
  *numbers(): Generator<number> {
    const count = Math.ceil(this.fileBytes / pageBytes)
    for (let page = 1; page <= count; page++) yield page
    for (const page of this.log.positions.keys()) if (page > count) yield page
  }

  /** Fills `into`, of a page's length; false when there is no such page. */
  read(page: number, into: Buffer): boolean {
    const position = this.log.positions.get(page)
    if (this.#logFile !== undefined && position !== undefined) {
      readAt(this.#logFile, into, position)
      return true
    }
    const at = (page - 1) * pageBytes
    if (this.#file === undefined || at < 0 || at >= this.fileBytes) return false
    readAt(this.#file, into, at)
    return true
  }

  /** What the file's header says of its owner; undefined when there is none. */
  header(): { readonly application: number; readonly version: number } | undefined {
    const page = Buffer.alloc(pageBytes)
    if (!this.read(1, page) || page.toString("latin1", 0, 16) !== "SQLite format 3\0") return undefined
    return { application: page.readInt32BE(68), version: page.readInt32BE(60) }
  }

  close(): void {
    for (const fd of [this.#file, this.#logFile]) if (fd !== undefined) closeSync(fd)
  }
}
