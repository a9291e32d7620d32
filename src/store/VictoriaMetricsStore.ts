/**
 * The samples in VictoriaMetrics, behind a journal that every block passes.
 *
 * Invariants:
 * - `append` is the journal's: it does not wait for the database, and works without it.
 * - Whatever the database has not made safe is still in the journal. So what is read is the database's answer with the
 *   journal laid over it, and what is counted is the database's count of all that is older than the journal's oldest
 *   block, and the journal's of the rest: both exact at every moment.
 * - Every accepted block is one sample of its installation's activity series, at the time it was received: counting
 *   them costs the same whatever the number of sensors.
 */
import { Clock, Duration, Effect, Layer, Option, Schedule, Schema } from "effect"
import { InstallationId } from "../domain/InstallationId.js"
import type { DatabaseUnavailable } from "./DatabaseAnswer.js"
import { readRecords, recordPrefix, selectorOf } from "./DatabaseRecords.js"
import { type BlockSums, Journal } from "./Journal.js"
import { meansExpression } from "./MeansExpression.js"
import {
  type InstallationMeans,
  type InstallationSummary,
  type MeansQuery,
  Store,
  StoreError,
  type Totals
} from "./Store.js"
import { VictoriaMetrics } from "./VictoriaMetrics.js"

interface VictoriaMetricsStoreOptions {
  readonly retention: Duration.Duration
}

export const activityMeasurement = "heatpump_activity"
const activity = (field: "records" | "samples") => `${activityMeasurement}_${field}`

/** Drained longer ago than this is in the database for certain; the journal knows its digests for much longer. */
const surelyDrained = Duration.hours(1)
/** A deletion does not see what was written in the last second. */
const deleteAgain = Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(15))
/** The database decides how far back it goes; this only has to be further, and to begin after 1970. */
const everMs = Duration.toMillis("7300 days")

const lookAgain = Schedule.spaced("1 minute")
const lookDaily = Schedule.spaced("1 day")
const isInstallation = Schema.is(InstallationId)

const make = Effect.fn("VictoriaMetricsStore.make")(function* (options: VictoriaMetricsStoreOptions) {
  const journal = yield* Journal
  const database = yield* VictoriaMetrics
  const retentionMs = Duration.toMillis(options.retention)

  const failed = (operation: string) => (cause: DatabaseUnavailable) => new StoreError({ operation, cause })

  /**
   * Of this collector, before this the database counts, and from it on the journal. Once for each answer: it moves on.
   */
  const findBorderMs = Effect.gen(function* () {
    const nowMs = yield* Clock.currentTimeMillis
    const oldest = yield* journal.oldest(0)
    return Math.min(nowMs - Duration.toMillis(surelyDrained), oldest?.activityAtMs ?? nowMs)
  })

  /** An aggregate over each activity series that the database is to count, summed up by installation. */
  const perInstallation = Effect.fn("VictoriaMetricsStore.perInstallation")(function* (
    rollup: "sum_over_time" | "count_over_time",
    field: "records" | "samples",
    borderMs: number,
    installation?: InstallationId
  ) {
    const nowMs = yield* Clock.currentTimeMillis
    const selector = installation === undefined ? "" : `,installation_id="${installation}"`
    const ask = (collector: string, atMs: number) =>
      database.query(
        `sum(${rollup}(${activity(field)}{collector${collector}"${journal.collector}"${selector}}[${retentionMs}ms])) by (installation_id)`,
        atMs
      )
    const [others, own] = yield* Effect.all([ask("!=", nowMs), ask("=", borderMs - 1)], { concurrency: 2 })
    return [...others, ...own]
  })
  const total = (samples: ReadonlyArray<{ readonly value: number }>) => samples.reduce((sum, s) => sum + s.value, 0)

  const sums = Effect.fn("VictoriaMetricsStore.sums")(function* (installation?: InstallationId) {
    const borderMs = yield* findBorderMs
    const [blocks, records, samples] = yield* Effect.all(
      [
        perInstallation("count_over_time", "samples", borderMs, installation),
        perInstallation("sum_over_time", "records", borderMs, installation),
        perInstallation("sum_over_time", "samples", borderMs, installation)
      ],
      { concurrency: 3 }
    )
    const recent = yield* journal.activity(borderMs, installation)
    const result: BlockSums = {
      blocks: total(blocks) + recent.blocks,
      records: total(records) + recent.records,
      samples: total(samples) + recent.samples
    }
    return { ...result, installations: new Set(samples.map(({ labels }) => labels.installation_id ?? "")) }
  })

  /** When each installation was heard of last, as far as the database knows. */
  const lastActivity = (selector: string, windowMs: number, atMs: number) =>
    Effect.map(
      database.query(
        `max(tlast_over_time(${activity("samples")}${selector}[${windowMs}ms])) by (installation_id)`,
        atMs
      ),
      (rows) => rows.map(({ labels, value }) => ({ id: labels.installation_id ?? "", atMs: Math.round(value * 1000) }))
    )

  /**
   * Without the database, what this collector knows itself is the best answer there is; the backlog tells its failure.
   */
  const orElseLocal = <A, R>(
    answer: Effect.Effect<A, DatabaseUnavailable | StoreError, R>,
    local: Effect.Effect<A, StoreError>
  ) =>
    Effect.catchTag(answer, "DatabaseUnavailable", (error) =>
      Effect.zipRight(Effect.logWarning(`${error.message}; counting what this collector has received itself`), local)
    )

  const activeInstallations = (sinceMs: number) =>
    Effect.gen(function* () {
      const local = yield* journal.activeIds(sinceMs)
      const nowMs = yield* Clock.currentTimeMillis
      // The start of a window is not part of it.
      const windowMs = Math.max(1, Math.min(nowMs - sinceMs + 1, retentionMs))
      const remote = yield* orElseLocal(
        Effect.map(lastActivity("", windowMs, nowMs), (rows) => rows.filter(({ atMs }) => atMs >= sinceMs)),
        Effect.succeed([])
      )
      return new Set([...local, ...remote.map(({ id }) => id)]).size
    })

  const lastContactMs = (installation: InstallationId) =>
    Effect.gen(function* () {
      const local = yield* journal.lastContactMs(installation)
      const nowMs = yield* Clock.currentTimeMillis
      // The journal's own knowledge is to the millisecond; it ends when the digests are forgotten.
      const collector = Option.isSome(local) ? `,collector!="${journal.collector}"` : ""
      const remote = yield* orElseLocal(
        lastActivity(`{installation_id="${installation}"${collector}}`, retentionMs, nowMs),
        Effect.succeed([])
      )
      const all = [...Option.toArray(local), ...remote.map(({ atMs }) => atMs)]
      return all.length === 0 ? Option.none() : Option.some(Math.max(...all))
    })

  const lastModel = (installation: InstallationId) =>
    Effect.gen(function* () {
      const local = yield* journal.lastModel(installation)
      if (Option.isSome(local)) return local
      const nowMs = yield* Clock.currentTimeMillis
      const [labels] = yield* orElseLocal(
        database.series(selectorOf(installation), nowMs - retentionMs, 1),
        Effect.succeed([])
      )
      return Option.fromNullable(labels?.model)
    })

  const means = Effect.fn("VictoriaMetricsStore.means")(function* (query: MeansQuery) {
    const rows = yield* Effect.mapError(
      database.query(meansExpression(query, recordPrefix), query.untilMs - 1),
      failed("average")
    )
    const found = new Map<string, Map<string, number>>()
    for (const { labels, value } of rows) {
      const { field, installation_id: id } = labels
      if (id === undefined || field === undefined || !Number.isFinite(value)) continue
      found.set(id, (found.get(id) ?? new Map<string, number>()).set(field, value))
    }
    const result: InstallationMeans = found
    return result
  })

  const totals = Effect.gen(function* () {
    const local = yield* journal.totals
    const nowMs = yield* Clock.currentTimeMillis
    const everywhere = Effect.gen(function* () {
      const [{ installations, ...counts }, contacts] = yield* Effect.all(
        [sums(), lastActivity(`{collector!="${journal.collector}"}`, retentionMs, nowMs)],
        { concurrency: 2 }
      )
      const ids = new Set([...(yield* journal.installations).map(({ id }) => id), ...installations])
      const all = [
        ...contacts.map(({ atMs }) => atMs),
        ...(local.lastReceivedMs === undefined ? [] : [local.lastReceivedMs])
      ]
      const result: Totals = {
        ...counts,
        installations: ids.size,
        lastReceivedMs: all.length === 0 ? undefined : Math.max(...all),
        bytesOnDisk: local.bytesOnDisk
      }
      return result
    })
    return yield* orElseLocal(everywhere, Effect.succeed(local))
  })

  /** What the database counts of each installation and what the journal does; and those that only the database has. */
  const installations = Effect.gen(function* () {
    const found = new Map<string, { lastReceivedMs: number | undefined; records: number; samples: number }>()
    const entry = (id: string) => {
      const known = found.get(id) ?? { lastReceivedMs: undefined, records: 0, samples: 0 }
      found.set(id, known)
      return known
    }
    const nowMs = yield* Clock.currentTimeMillis
    const borderMs = yield* findBorderMs
    const [records, samples, contacts, ids] = yield* Effect.all(
      [
        perInstallation("sum_over_time", "records", borderMs),
        perInstallation("sum_over_time", "samples", borderMs),
        lastActivity("", retentionMs, nowMs),
        database.installations
      ],
      { concurrency: 4 }
    )
    for (const { labels, value } of records) entry(labels.installation_id ?? "").records += value
    for (const { labels, value } of samples) entry(labels.installation_id ?? "").samples += value
    for (const recent of yield* journal.activityByInstallation(borderMs)) {
      const sums = entry(recent.id)
      sums.records += recent.records
      sums.samples += recent.samples
    }
    for (const { atMs, id } of contacts) entry(id).lastReceivedMs = atMs
    for (const { id, lastReceivedMs } of yield* journal.installations) {
      entry(id).lastReceivedMs = Math.max(lastReceivedMs ?? 0, entry(id).lastReceivedMs ?? 0)
    }
    const uncounted = ids.filter((id) => isInstallation(id) && !found.has(id) && !journal.isErased(id))
    const summaries = [
      ...Array.from(found, ([id, sums]): InstallationSummary => ({ id, ...sums })),
      ...uncounted.map((id) => ({ id, lastReceivedMs: undefined, records: undefined, samples: undefined }))
    ]
    return summaries.sort((a, b) => (a.id < b.id ? -1 : 1))
  }).pipe(Effect.catchTag("DatabaseUnavailable", failed("list installations")))

  const oldestMs = Effect.gen(function* () {
    const nowMs = yield* Clock.currentTimeMillis
    const first = yield* orElseLocal(
      database.query(`min(tfirst_over_time(${activity("samples")}[${everMs}ms]))`, nowMs),
      Effect.succeed([])
    )
    const known = [first[0]?.value, (yield* journal.oldest(0))?.receivedAtMs].map((value, i) =>
      value === undefined ? Number.POSITIVE_INFINITY : value * (i === 0 ? 1000 : 1)
    )
    const oldest = Math.min(...known)
    return Number.isFinite(oldest) ? oldest : undefined
  })

  const erase = (installation: InstallationId) =>
    Effect.gen(function* () {
      const selector = `{installation_id="${installation}"}`
      const { blocks } = yield* sums(installation)
      yield* journal.erase(installation)
      yield* database.flush.pipe(
        Effect.zipRight(database.deleteSeries(selector)),
        Effect.zipRight(database.hasSeries(selector)),
        Effect.filterOrFail(
          (hasSeries) => !hasSeries,
          () => new StoreError({ operation: "erase", cause: new Error("the database still has series of it") })
        ),
        Effect.retry(deleteAgain)
      )
      return blocks
    }).pipe(Effect.catchTag("DatabaseUnavailable", failed("erase")), journal.exclusively)

  /** The database's own backup is as old as it is. The database may be away when this collector starts. */
  const eraseAgain = Effect.gen(function* () {
    for (const id of yield* database.installations) {
      if (!journal.isErased(id) || !isInstallation(id)) continue
      yield* erase(id)
      yield* Effect.logWarning("erased a home again that a restored backup of the database had brought back")
    }
  }).pipe(
    Effect.tapError((error) => Effect.logWarning(`cannot look for erased homes in the database: ${error.message}`)),
    Effect.retry(lookAgain),
    Effect.repeat(lookDaily)
  )
  yield* Effect.forkScoped(eraseAgain)

  return Store.of({
    append: journal.append,
    ready: journal.ready,
    activeInstallations,
    knows: (installation) => Effect.map(journal.lastContactMs(installation), Option.isSome),
    installations,
    oldestMs,
    lastContactMs,
    lastModel,
    means,
    totals,
    read: readRecords(journal, database, retentionMs),
    erase,
    damagedFiles: journal.damagedFiles,
    deleteDamagedFiles: journal.deleteDamagedFiles
  })
})

/** Needs a journal, which something has to drain (`pipeline/Drain`); starts without its database. */
export const layerVictoriaMetricsStore = (options: VictoriaMetricsStoreOptions) => Layer.scoped(Store, make(options))
