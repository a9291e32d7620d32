/** Records read back from the table of blocks, a page of blocks at a time: memory does not grow with what is stored. */
import { promisify } from "node:util"
import { gunzip } from "node:zlib"
import { Chunk, Effect, Option, Schema, Stream } from "effect"
import type { InstallationId } from "../domain/InstallationId.js"
import { readLines } from "./BlockReader.js"
import { type StoredRecord, StoreError, type TimeRange } from "./Store.js"

const gunzipAsync = promisify(gunzip)

/** Prepares a query whose rows are checked against their schema. */
export type Select = <A, I>(
  operation: string,
  row: Schema.Schema<A, I>,
  sql: string
) => (...parameters: ReadonlyArray<string | number>) => Effect.Effect<ReadonlyArray<A>, StoreError>

/** Blocks per page: a few MB of lines. */
const pageBlocks = 8

/** The driver gives blobs as ArrayBuffer. */
export const Blob = Schema.Union(Schema.instanceOf(ArrayBuffer), Schema.Uint8ArrayFromSelf)
const PageRow = Schema.Struct({ id: Schema.Number, gzippedLines: Blob })

/** What has not been drained, in order of arrival. */
export const readBlocks = (select: Select) => {
  const readPage = select(
    "read back",
    PageRow,
    `SELECT id, gzipped_lines AS gzippedLines FROM block WHERE installation_id = ? AND id > ?
     AND last_timestamp_ms >= ? AND first_timestamp_ms < ? AND drained_at_ms IS NULL ORDER BY id LIMIT ${pageBlocks}`
  )
  return (installation: InstallationId, range: TimeRange = {}): Stream.Stream<StoredRecord, StoreError> => {
    const fromMs = range.fromMs ?? 0
    const untilMs = range.untilMs ?? Number.MAX_SAFE_INTEGER
    return Stream.paginateChunkEffect(0, (afterId) =>
      Effect.gen(function* () {
        const rows = yield* readPage(installation, afterId, fromMs, untilMs)
        const lines = yield* Effect.forEach(rows, (row) =>
          Effect.tryPromise({
            try: () => gunzipAsync(row.gzippedLines),
            catch: (cause) => new StoreError({ operation: "read back", cause })
          })
        )
        const records = lines
          .flatMap(readLines)
          .filter(({ timestampMs }) => timestampMs >= fromMs && timestampMs < untilMs)
        const last = rows.at(-1)
        return [Chunk.unsafeFromArray(records), Option.map(Option.fromNullable(last), ({ id }) => id)] as const
      })
    )
  }
}
