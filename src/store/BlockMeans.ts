/**
 * Means over the embedded store's blocks. They have to be opened for it, so the cost grows with the installations:
 * about 10 ms for a day of one home with all its sensors. So they are of a sample, and of `MeansQuery`'s short range
 * only.
 */
import { promisify } from "node:util"
import { gunzip } from "node:zlib"
import { Duration, Effect, Schema } from "effect"
import { Blob } from "./BlockRecords.js"
import type { BlockTable } from "./BlockTable.js"
import { addLines, type ColumnSink } from "./LineColumns.js"
import { type InstallationMeans, type MeansQuery, StoreError } from "./Store.js"

const gunzipAsync = promisify(gunzip)

/** Ids are random, so the first ones in their order are a fair sample, and the same every time. */
const mostInstallations = 250
/** In memory at once: a home that sends a thousand times as much as others has as many blocks. */
const pageBlocks = 8
/** A logger's clock may be ahead by that much: its samples arrive before their time. */
const aheadMs = Duration.toMillis("1 day")

const operation = "average"
const IdRow = Schema.Struct({ id: Schema.String })
const LinesRow = Schema.Struct({ activityAtMs: Schema.Number, gzippedLines: Blob })

/** Sums one installation's samples by field. */
class Sums implements ColumnSink {
  readonly #absent: ReadonlyMap<string, ReadonlyArray<number>>
  readonly #sums = new Map<string, { sum: number; count: number }>()

  constructor(private readonly query: MeansQuery) {
    this.#absent = new Map(query.fields.map(({ absent, name }) => [name, absent]))
  }

  add(name: string, timestamps: ReadonlyArray<number>, values: ReadonlyArray<number>): void {
    const absent = this.#absent.get(name)
    if (absent === undefined) return
    const total = this.#sums.get(name) ?? { sum: 0, count: 0 }
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!
      const timestampMs = timestamps[i]!
      if (timestampMs < this.query.fromMs || timestampMs >= this.query.untilMs || absent.includes(value)) continue
      total.sum += value
      total.count++
    }
    this.#sums.set(name, total)
  }

  means(): ReadonlyMap<string, number> {
    return new Map(
      [...this.#sums].filter(([, { count }]) => count > 0).map(([name, { count, sum }]) => [name, sum / count])
    )
  }
}

/** Answers a `MeansQuery`; fails with `StoreError`, also for a block that cannot be unpacked. */
export const blockMeans = (table: BlockTable) => {
  const findInstallations = table.select(
    operation,
    IdRow,
    `SELECT DISTINCT installation_id AS id FROM block WHERE last_timestamp_ms >= ? AND first_timestamp_ms < ? AND model = ?
     ORDER BY id LIMIT ${mostInstallations}`
  )
  const findBlocks = table.select(
    operation,
    LinesRow,
    `SELECT activity_at_ms AS activityAtMs, gzipped_lines AS gzippedLines FROM block
     WHERE installation_id = ? AND activity_at_ms > ? AND last_timestamp_ms >= ? AND first_timestamp_ms < ? AND model = ?
     ORDER BY activity_at_ms LIMIT ${pageBlocks}`
  )
  return Effect.fn("BlockMeans.means")(function* (query: MeansQuery) {
    const { fromMs, model, untilMs } = query
    const names = new Set(query.fields.map(({ name }) => name))
    const found = new Map<string, ReadonlyMap<string, number>>()
    for (const { id } of yield* findInstallations(fromMs, untilMs, model)) {
      const sums = new Sums(query)
      // No two blocks of an installation have the same time.
      let afterMs: number | undefined = fromMs - aheadMs - 1
      while (afterMs !== undefined) {
        const page: ReadonlyArray<typeof LinesRow.Type> = yield* findBlocks(id, afterMs, fromMs, untilMs, model)
        for (const { gzippedLines } of page) {
          // Another thread unpacks: submissions get their turn.
          const lines = yield* Effect.tryPromise({
            try: () => gunzipAsync(gzippedLines),
            catch: (cause) => new StoreError({ operation, cause })
          })
          addLines(lines, sums, names)
        }
        afterMs = page.at(-1)?.activityAtMs
      }
      const means = sums.means()
      if (means.size > 0) found.set(id, means)
    }
    const result: InstallationMeans = found
    return result
  })
}
