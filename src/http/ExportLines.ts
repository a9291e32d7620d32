/**
 * One home's records as text, for the person they belong to (GDPR, Art. 20: "structured, commonly used and
 * machine-readable").
 *
 * - JSON lines: one object per record and heat pump: `timestamp` (Unix seconds), `tags`, `values`.
 * - CSV (RFC 4180, without quotes, which nothing in it needs): one line per sample, so that the columns are the same
 *   for all.
 */
import { Chunk, Stream } from "effect"
import type { StoredRecord } from "../store/Store.js"
import type { ExportFormat } from "./RightsApi.js"

const jsonLine = ({ tags, timestampMs, values }: StoredRecord): string =>
  `${JSON.stringify({ timestamp: timestampMs / 1000, tags: Object.fromEntries(tags), values: Object.fromEntries(values) })}\n`

const tagColumns = ["model", "version", "heatpump_id", "manufacturer"] as const

const csvLines = ({ tags, timestampMs, values }: StoredRecord): string => {
  const time = new Date(timestampMs).toISOString()
  const prefix = [timestampMs / 1000, time, ...tagColumns.map((tag) => tags.get(tag) ?? "")].join()
  let lines = ""
  for (const [sensor, value] of values) lines += `${prefix},${sensor},${value}\r\n`
  return lines
}

const formats = {
  jsonl: { contentType: "application/x-ndjson", head: "", linesOf: jsonLine },
  csv: {
    contentType: "text/csv; charset=utf-8",
    head: `timestamp,time_utc,${tagColumns.join()},sensor,value\r\n`,
    linesOf: csvLines
  }
} as const satisfies Record<ExportFormat, unknown>

export const contentTypeOf = (format: ExportFormat): string => formats[format].contentType

/** UTF-8, a piece per chunk of records; fails as the records do, in the middle of what is sent. */
export const exportLines = <E, R>(format: ExportFormat, records: Stream.Stream<StoredRecord, E, R>) => {
  const { head, linesOf } = formats[format]
  const lines = Stream.mapChunks(records, (chunk) => Chunk.of(Chunk.reduce(chunk, "", (text, r) => text + linesOf(r))))
  return Stream.concat(Stream.make(head), lines).pipe(
    Stream.filter((text) => text !== ""),
    Stream.encodeText
  )
}
