/**
 * Records read back: the database's answer with the journal laid over it.
 *
 * Invariants:
 * - Records come in order of time, each once; a slice of time is as long as fits in memory, whatever the number of
 *   sensors and wherever they are.
 * - The journal is read before the database: what moves from one to the other meanwhile is in both, and never in
 *   neither.
 */
import { Chunk, Clock, Duration, Effect, Option, Stream } from "effect"
import { measurement } from "../domain/Block.js"
import type { InstallationId } from "../domain/InstallationId.js"
import type { DatabaseUnavailable } from "./DatabaseAnswer.js"
import { RecordGatherer } from "./ExportReader.js"
import type { Journal } from "./Journal.js"
import { type StoredRecord, StoreError, type TimeRange } from "./Store.js"
import type { VictoriaMetrics } from "./VictoriaMetrics.js"

/** Of the names of all series of records. */
export const recordPrefix = `${measurement}_`

/** Of an export read at once: records in memory by the hundred MB at most. */
const sliceSamples = 300_000
const tooManySamples = 4 * sliceSamples
const firstSliceMs = Duration.toMillis("1 hour")
const longestSliceMs = Duration.toMillis("32 days")
const shortestSliceMs = 1_000
/** VictoriaMetrics drops what is further ahead. */
const aheadMs = Duration.toMillis("2 days")

/** Of all records of an installation. */
export const selectorOf = (installation: InstallationId) =>
  `{__name__=~"${recordPrefix}.+",installation_id="${installation}"}`

export const readRecords = (
  journal: typeof Journal.Service,
  database: typeof VictoriaMetrics.Service,
  retentionMs: number
) => {
  /** One slice of time; undefined when it holds more than fits. */
  const readSlice = (installation: InstallationId, fromMs: number, untilMs: number) =>
    Effect.gen(function* () {
      const gatherer = new RecordGatherer(recordPrefix)
      const waiting: Array<StoredRecord> = []
      let samples = 0
      const fits = () => samples <= tooManySamples || untilMs - fromMs <= shortestSliceMs
      yield* journal.read(installation, { fromMs, untilMs }).pipe(
        Stream.takeWhile((record) => {
          samples += record.values.size
          waiting.push(record)
          return fits()
        }),
        Stream.runDrain
      )
      if (!fits()) return undefined
      yield* database.export(selectorOf(installation), fromMs, untilMs).pipe(
        Stream.takeWhile((series) => {
          samples += gatherer.add(series)
          return fits()
        }),
        Stream.runDrain
      )
      if (!fits()) return undefined
      for (const record of waiting) gatherer.overlay(record)
      return { records: gatherer.records(), samples }
    })

  /** In order of time. */
  return (installation: InstallationId, range: TimeRange = {}) =>
    Stream.unwrap(
      Effect.map(Clock.currentTimeMillis, (nowMs) => {
        const startMs = range.fromMs ?? 0
        // Older ones are there only where the database keeps them for longer, so that time is one slice at first.
        const keptFromMs = nowMs - retentionMs - firstSliceMs
        const endMs = Math.min(range.untilMs ?? Number.MAX_SAFE_INTEGER, nowMs + aheadMs)
        if (startMs >= endMs) return Stream.empty
        const first = { fromMs: startMs, lengthMs: Math.max(firstSliceMs, keptFromMs - startMs) }
        return Stream.paginateChunkEffect(first, ({ fromMs, lengthMs }) =>
          Effect.gen(function* () {
            const isOld = fromMs < keptFromMs
            const untilMs = Math.min(fromMs + lengthMs, isOld ? keptFromMs : endMs, endMs)
            const slice = yield* Effect.catchTag(
              readSlice(installation, fromMs, untilMs),
              "DatabaseUnavailable",
              (cause: DatabaseUnavailable) => new StoreError({ operation: "read back", cause })
            )
            if (slice === undefined) {
              const shorter = Math.max(shortestSliceMs, Math.floor((untilMs - fromMs) / 8))
              return [Chunk.empty<StoredRecord>(), Option.some({ fromMs, lengthMs: shorter })] as const
            }
            const growth = Math.min(4, sliceSamples / Math.max(1, slice.samples))
            const grown = Math.min(longestSliceMs, Math.max(shortestSliceMs, Math.floor(lengthMs * growth)))
            const next = isOld && untilMs === keptFromMs ? firstSliceMs : grown
            return [
              Chunk.unsafeFromArray(slice.records),
              untilMs < endMs ? Option.some({ fromMs: untilMs, lengthMs: next }) : Option.none()
            ] as const
          })
        )
      })
    )
}
