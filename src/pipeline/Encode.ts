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

/**
 * Source of the format: InfluxDB line protocol reference, as VictoriaMetrics reads it (`measurement,tag=value field=1
 * timestamp`).
 */
const writeLine = (buffer: ByteBuffer, prefix: Buffer, fieldSets: Buffer, reading: Reading): void => {
  const { start, end, timestampMs } = reading
  buffer.reserve(prefix.length + end - start + maxNumberBytes + 2)
  const bytes = buffer.bytes
  let at = buffer.length
  at += prefix.copy(bytes, at)
  at += fieldSets.copy(bytes, at, start, end)
  bytes[at++] = space
  at = writeNumber(bytes, at, timestampMs)
  bytes[at++] = newline
  buffer.length = at
}

/** Writes the lines of one source; undefined when it has none. */
export const writeLines = (buffer: ByteBuffer, submission: Submission, sourceNumber: number) => {
  const source = submission.sources[sourceNumber]!
  const prefix = prefixOf(submission, source)
  let firstTimestampMs = Number.POSITIVE_INFINITY
  let lastTimestampMs = 0
  let records = 0
  let samples = 0
  buffer.clear()
  for (const reading of submission.readings) {
    if (reading.source !== sourceNumber) continue
    writeLine(buffer, prefix, submission.fieldSets, reading)
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
        samples
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
 * Third stage: a submission → blocks of line protocol, one per source and two days at most, compressed outside the main
 * thread.
 */
export class Encode extends Context.Tag("telemetry/pipeline/Encode")<
  Encode,
  { readonly blocks: (submission: Submission) => Effect.Effect<Encoded> }
>() {
  static readonly layer = Layer.sync(this, () => {
    const withBuffer = makeBufferPool()

    const block = (submission: Submission, sourceNumber: number) =>
      withBuffer((buffer) => {
        const summary = writeLines(buffer, submission, sourceNumber)
        if (summary === undefined) return Effect.succeed([])
        const lines = buffer.written()
        // Uninterruptible: the buffer must not be used again while zlib reads from it in another thread.
        return Effect.uninterruptible(Effect.promise(() => gzipAsync(lines, gzipOptions))).pipe(
          Effect.map((gzippedLines): ReadonlyArray<Block> => [{ ...summary, sha256: sha256(lines), gzippedLines }])
        )
      })

    const blocks = Effect.fn("Encode.blocks")(function* (submission: Submission) {
      const encoded = yield* Effect.forEach(
        partsOf(submission).flatMap((part) => submission.sources.map((_, source) => ({ part, source }))),
        ({ part, source }) => block(part, source)
      )
      const blocks = encoded.flat()
      return { blocks, receipt: receiptOf(blocks) }
    })
    return { blocks }
  })
}
