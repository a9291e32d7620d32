import { createReadStream } from "node:fs"
import { open } from "node:fs/promises"
import { Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { createGunzip } from "node:zlib"
import { Data, Either } from "effect"
import { decodeLabels, ownerOf, type SeriesOwner } from "./ExportLine.js"

/** One line of an export and where it lies. */
export interface ExportedLine extends SeriesOwner {
  readonly number: number
  readonly start: number
  readonly bytes: number
}

export class FileInvalid extends Data.Error<{ readonly message: string }> {}

const lineFeed = 0x0a
const headBytes = 4096
const tailBytes = 32
/** V8's longest text is a little longer. */
const longestLine = 500_000_000

/**
 * Takes the bytes of a file, keeps where its lines lie. Of a line only its two ends are looked at: the labels, and the
 * newest timestamp.
 */
class ExportIndex {
  readonly lines: Array<ExportedLine> = []
  newestMs = Number.NEGATIVE_INFINITY
  #number = 0
  #start = 0
  #position = 0
  readonly #head = Buffer.alloc(headBytes)
  #headLength = 0
  #tail = Buffer.alloc(0)

  push(bytes: Buffer): void {
    let from = 0
    while (true) {
      const end = bytes.indexOf(lineFeed, from)
      this.#grow(bytes.subarray(from, end < 0 ? bytes.length : end))
      if (end < 0) break
      this.#endLine()
      this.#position++
      this.#start = this.#position
      from = end + 1
    }
  }

  /** The last line need not have a line feed behind it. */
  end(): void {
    if (this.#position > this.#start) this.#endLine()
  }

  #grow(piece: Buffer): void {
    this.#headLength += piece.copy(this.#head, this.#headLength)
    this.#tail = Buffer.concat([this.#tail, piece.subarray(-tailBytes)]).subarray(-tailBytes)
    this.#position += piece.length
  }

  #endLine(): void {
    const number = ++this.#number
    const bytes = this.#position - this.#start
    const head = this.#head.toString("utf8", 0, this.#headLength)
    const tail = this.#tail.toString("latin1").trimEnd()
    this.#headLength = 0
    this.#tail = Buffer.alloc(0)
    if (bytes === 0 || head.trim() === "") return
    const labels = /^\s*\{\s*"metric"\s*:\s*(\{.*?\})\s*,\s*"(?:values|timestamps)"\s*:/.exec(head)
    const metric = decodeLabels(labels?.[1] ?? "")
    if (Either.isLeft(metric)) {
      throw new FileInvalid({ message: `line ${number} is not of a VictoriaMetrics export (/api/v1/export)` })
    }
    const last = /(\d*)\s*\]\s*\}$/.exec(tail)
    if (last === null)
      throw new FileInvalid({ message: `it is cut off in the middle of line ${number}; export it again` })
    if (bytes > longestLine) {
      throw new FileInvalid({ message: `line ${number} is too long; export it again with max_rows_per_line=50000` })
    }
    const owner = ownerOf(metric.right)
    if (owner === undefined) return
    this.newestMs = Math.max(this.newestMs, Number(last[1] || Number.NEGATIVE_INFINITY))
    this.lines.push({ ...owner, number, start: this.#start, bytes })
  }
}

/** Reads the file through, and unpacks it on the way when `unpacked` names where to. */
export const indexExport = async (
  file: string,
  unpacked: string | undefined,
  signal: AbortSignal
): Promise<ExportIndex> => {
  const lines = new ExportIndex()
  const target = unpacked === undefined ? undefined : await open(unpacked, "w", 0o600)
  const sink = new Writable({
    highWaterMark: 1024 * 1024,
    write: (chunk: Buffer, _, done) => {
      try {
        lines.push(chunk)
      } catch (error) {
        return done(error instanceof Error ? error : new Error(String(error)))
      }
      if (target === undefined) return done()
      target.appendFile(chunk).then(() => done(), done)
    }
  })
  const input = createReadStream(file, { highWaterMark: 1024 * 1024 })
  try {
    await (target === undefined
      ? pipeline(input, sink, { signal })
      : pipeline(input, createGunzip({ chunkSize: 256 * 1024 }), sink, { signal }))
    lines.end()
    return lines
  } finally {
    await target?.close()
  }
}
