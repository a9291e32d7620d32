import { createHash } from "node:crypto"
import { promisify } from "node:util"
import { gzip } from "node:zlib"
import { Array as Arr, Context, Effect, Layer } from "effect"
import { type Block, measurement } from "../domain/Block.js"
import type { Reading, Source, Submission } from "../domain/Submission.js"
import { type ByteBuffer, makeBufferPool } from "./ByteBuffer.js"
import { maxNumberBytes, writeNumber } from "./FieldSetWriter.js"

/** A submission ready to be stored. Equal samples give equal receipts: SHA-256 in hex. */
interface Encoded {
  readonly blocks: ReadonlyArray<Block>
  readonly receipt: string
}

const gzipAsync = promisify(gzip)

/**
 * Level 2 makes blocks a tenth smaller than level 1 for the same CPU; later levels cost more than they save. A chunk that
 * holds a whole block saves trips between threads.
 */
const gzipOptions = { level: 2, chunkSize: 256 * 1024 }

const prefixOf = (submission: Submission, source: Source): Buffer => {
  const heatpump =
    source.heatpump === undefined
      ? ""
      : `,heatpump_id=${source.heatpump.id},manufacturer=${source.heatpump.manufacturer}`
  const tags = `installation_id=${submission.installationId},model=${source.model},version=${submission.version}`
  return Buffer.from(`${measurement},${tags}${heatpump} `, "latin1")
}

const space = 0x20
const newline = 0x0a

const maxLineBytes = (prefix: Buffer, { end, start }: Reading): number =>
  prefix.length + end - start + maxNumberBytes + 2

/**
 * Source of the format: InfluxDB line protocol reference, as VictoriaMetrics reads it (`measurement,tag=value field=1
 * timestamp`).
 */
const writeLine = (buffer: ByteBuffer, prefix: Buffer, fieldSets: Buffer, reading: Reading): void => {
  const { start, end, timestampMs } = reading
  const bytes = buffer.bytes
  let at = buffer.length
  at += prefix.copy(bytes, at)
  at += fieldSets.copy(bytes, at, start, end)
  bytes[at++] = space
  at = writeNumber(bytes, at, timestampMs)
  bytes[at++] = newline
  buffer.length = at
}

/**
 * Lines of one block: four times what a logger's batch has. Short records become ten times as long by their tags, and
 * readers open whole blocks, too.
 */
const maxLinesBytes = 8 * 1024 * 1024

/**
 * Writes lines of one source, from the reading `from` on, as many as one block may have; undefined when there are none.
 * Those of the next block begin at the reading `next`.
 */
export const writeLines = (buffer: ByteBuffer, submission: Submission, sourceNumber: number, from = 0) => {
  const { fieldSets, readings } = submission
  const source = submission.sources[sourceNumber]!
  const prefix = prefixOf(submission, source)
  let firstTimestampMs = Number.POSITIVE_INFINITY
  let lastTimestampMs = 0
  let records = 0
  let samples = 0
  let next = from
  buffer.clear()
  for (; next < readings.length; next++) {
    const reading = readings[next]!
    if (reading.source !== sourceNumber) continue
    const length = maxLineBytes(prefix, reading)
    if (buffer.length + length > maxLinesBytes) break
    buffer.reserve(length)
    writeLine(buffer, prefix, fieldSets, reading)
    firstTimestampMs = Math.min(firstTimestampMs, reading.timestampMs)
    lastTimestampMs = Math.max(lastTimestampMs, reading.timestampMs)
    records++
    samples += reading.samples
  }
  return records === 0
    ? undefined
    : {
        installationId: submission.installationId,
        model: source.model,
        version: submission.version,
        heatpumpId: source.heatpump?.id,
        firstTimestampMs,
        lastTimestampMs,
        records,
        samples,
        next
      }
}

const dayMs = 86_400_000
/** Retention removes whole blocks: a sample stays that much longer than it should at most. */
const longestSpanMs = 2 * dayMs

/**
 * The submission itself when it spans two days at most, which all but the oddest do; else a part for each day (UTC).
 */
const partsOf = (submission: Submission): ReadonlyArray<Submission> => {
  let firstMs = Number.POSITIVE_INFINITY
  let lastMs = 0
  for (const { timestampMs } of submission.readings) {
    firstMs = Math.min(firstMs, timestampMs)
    lastMs = Math.max(lastMs, timestampMs)
  }
  if (lastMs - firstMs <= longestSpanMs) return [submission]
  const byDay = Arr.groupBy(submission.readings, ({ timestampMs }) => String(Math.floor(timestampMs / dayMs)))
  return Object.entries(byDay)
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([, readings]) => ({ ...submission, readings }))
}

/** The digest of the only block, or the digest of the blocks' digests in order. */
const receiptOf = (blocks: ReadonlyArray<Block>): string => {
  if (blocks.length === 1) return blocks[0]!.sha256.toString("hex")
  return sha256(Buffer.concat(blocks.map((block) => block.sha256))).toString("hex")
}

const sha256 = (bytes: Buffer): Buffer => createHash("sha256").update(bytes).digest()

/**
 * Third stage: a submission → blocks of line protocol, one per source and two days at most unless that is too long,
 * compressed outside the main thread.
 */
export class Encode extends Context.Tag("telemetry/pipeline/Encode")<
  Encode,
  { readonly blocks: (submission: Submission) => Effect.Effect<Encoded> }
>() {
  static readonly layer = Layer.sync(this, () => {
    const withBuffer = makeBufferPool()

    /** Adds the blocks of one source, and in the end lends its buffer to others: one holds all the lines there are. */
    const addBlocks = (blocks: Array<Block>, submission: Submission, sourceNumber: number) =>
      withBuffer(
        Effect.fnUntraced(function* (buffer) {
          for (let from = 0; from < submission.readings.length; ) {
            const written = writeLines(buffer, submission, sourceNumber, from)
            if (written === undefined) return
            const { next, ...summary } = written
            const lines = buffer.written()
            // Uninterruptible: the buffer must not be used again while zlib reads from it in another thread.
            const gzippedLines = yield* Effect.uninterruptible(Effect.promise(() => gzipAsync(lines, gzipOptions)))
            blocks.push({ ...summary, sha256: sha256(lines), gzippedLines })
            from = next
          }
        })
      )

    const blocks = Effect.fn("Encode.blocks")(function* (submission: Submission) {
      const blocks: Array<Block> = []
      for (const part of partsOf(submission)) {
        for (let source = 0; source < submission.sources.length; source++) yield* addBlocks(blocks, part, source)
      }
      return { blocks, receipt: receiptOf(blocks) }
    })
    return { blocks }
  })
}
