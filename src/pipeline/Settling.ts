/**
 * Blocks that the database has taken and may still lose: it answers before what it took is on its disk, and a crash
 * costs it its last seconds (https://docs.victoriametrics.com/#storage). They stay in the journal for `settle`, and
 * those that it may have lost are sent again.
 *
 * Invariants:
 * - No two clocks are compared: how long the database has run is its own word, how long a block has been there is
 *   measured here. Whatever is in doubt is sent again, which changes nothing in the database.
 * - Where the database does not say how long it has run, as behind a proxy with metrics of its own, a block is confirmed
 *   once the database shows the sample of its activity, which came with it, and has answered all the time.
 */
import { Clock, Duration, Effect, Stream } from "effect"
import type { DatabaseUnavailable } from "../store/DatabaseAnswer.js"
import type { DatabaseProcess } from "../store/DatabaseFlags.js"
import { Journal, type WaitingBlock } from "../store/Journal.js"
import type { StoreError } from "../store/Store.js"
import { VictoriaMetrics } from "../store/VictoriaMetrics.js"
import { activityMeasurement } from "../store/VictoriaMetricsStore.js"

export interface Moment {
  readonly unixMs: number
  /** Of a clock that nobody sets; it stands still while the machine sleeps. */
  readonly nanos: bigint
}

export const moment: Effect.Effect<Moment> = Effect.all({
  unixMs: Clock.currentTimeMillis,
  nanos: Clock.currentTimeNanos
})

/** At least so long: one clock may have been set back, the other may have stood still. */
const secondsBetween = (from: Moment, to: Moment): number =>
  Math.max((to.unixMs - from.unixMs) / 1e3, Number(to.nanos - from.nanos) / 1e9)

type TakenBlock = Pick<WaitingBlock, "id" | "installationId" | "activityAtMs">

/** Blocks that one request put into the database. */
interface Settling {
  readonly blocks: ReadonlyArray<TakenBlock>
  readonly sentAt: Moment
  readonly takenAtNanos: bigint
  /** Failures in the cluster that were known then, by the start of the process that had counted them. */
  readonly clusterErrors: ReadonlyMap<number, number>
  /** Failed requests until then. */
  readonly breaks: number
}

/**
 * Whether the database may have lost what it had taken.
 *
 * @param process undefined where the database does not say; then only failed requests tell
 */
export const mayHaveLost = (
  process: DatabaseProcess | undefined,
  now: Moment,
  breaks: number,
  taken: Pick<Settling, "sentAt" | "clusterErrors" | "breaks">
): boolean => {
  if (process === undefined) return breaks !== taken.breaks
  // A process that was not known then counts from nothing, as one that has been restarted does.
  if (process.clusterErrors > (taken.clusterErrors.get(process.startedAtSeconds) ?? 0)) return true
  return process.uptimeSeconds < secondsBetween(taken.sentAt, now)
}

/** Until the database shows what it took; a second or two. */
const shownAfter = Duration.seconds(10)
/** Blocks that are looked for with one question; their installations stand in its URL. */
const pageBlocks = 64
/** So often a block is sent that the database takes and never shows. */
const mostSendings = 3
const neverShown = "taken by the database, which does not show it"

const hasNoUptime =
  "no metrics of the database itself are to be had beside VM_WRITE_URL: its restarts are noticed by failed requests and " +
  "by reading back what it took; set VM_METRICS_URL to the metrics of the program that takes the writes"
const keepsDuplicates =
  "the database keeps samples that are sent twice; start VictoriaMetrics with -dedup.minScrapeInterval=1ms"

export const makeSettling = Effect.fn("Settling.make")(function* (settle: Duration.Duration) {
  const journal = yield* Journal
  const database = yield* VictoriaMetrics
  /** In the order in which they were taken. */
  let settling: Array<Settling> = []
  const somethingSettles = yield* Effect.makeLatch(false)
  let clusterErrors: ReadonlyMap<number, number> = new Map()
  let breaks = 0
  let hasWarned = false
  const timesMissing = new Map<number, number>()

  const count = () => settling.reduce((sum, { blocks }) => sum + blocks.length, 0)

  const taken = (blocks: ReadonlyArray<TakenBlock>, sentAt: Moment) =>
    Effect.gen(function* () {
      // Without their lines.
      const kept = blocks.map(({ activityAtMs, id, installationId }) => ({ activityAtMs, id, installationId }))
      settling.push({ blocks: kept, sentAt, takenAtNanos: yield* Clock.currentTimeNanos, clusterErrors, breaks })
      yield* somethingSettles.open
    })

  const learnProcess = Effect.gen(function* () {
    const { process, removesDuplicates } = yield* database.instance
    if (!hasWarned) {
      hasWarned = true
      if (process === undefined) yield* Effect.logWarning(hasNoUptime)
      if (removesDuplicates === false) yield* Effect.logWarning(keepsDuplicates)
    }
    return process
  })

  const learnErrors = (process: DatabaseProcess) => {
    // Behind one address there may be several; two that started in the same second count as one.
    const errors = Math.max(process.clusterErrors, clusterErrors.get(process.startedAtSeconds) ?? 0)
    clusterErrors = new Map([...clusterErrors, [process.startedAtSeconds, errors]])
  }

  const sendAgain = (because: string) =>
    Effect.gen(function* () {
      const blocks = count()
      settling = []
      yield* journal.again
      yield* Effect.logWarning(because, { blocks })
    })

  const missingOf = Effect.fnUntraced(function* (page: ReadonlyArray<TakenBlock>) {
    const installations = new Set(page.map(({ installationId }) => installationId))
    const times = page.map(({ activityAtMs }) => activityAtMs)
    const shown = new Set<string>()
    yield* database
      .export(
        `${activityMeasurement}_samples{collector="${journal.collector}",installation_id=~"${[...installations].join("|")}"}`,
        // A URL has seconds, in which a millisecond may be rounded away.
        Math.min(...times) - 1,
        Math.max(...times) + 2
      )
      .pipe(
        Stream.runForEach(({ metric, timestamps }) =>
          Effect.sync(() => {
            for (const atMs of timestamps) shown.add(`${metric.installation_id} ${atMs}`)
          })
        )
      )
    return page.filter(({ activityAtMs, installationId }) => !shown.has(`${installationId} ${activityAtMs}`))
  })

  const findMissing = (blocks: ReadonlyArray<TakenBlock>) =>
    Effect.gen(function* () {
      const missing: Array<TakenBlock> = []
      for (let i = 0; i < blocks.length; i += pageBlocks) {
        missing.push(...(yield* missingOf(blocks.slice(i, i + pageBlocks))))
      }
      return missing
    })

  /** The home of a missing block may have been erased meanwhile. */
  const isWaiting = ({ id }: TakenBlock) => Effect.map(journal.next(id - 1, 1), ([next]) => next?.id === id)

  const seekMissing = Effect.fnUntraced(function* (missing: ReadonlyArray<TakenBlock>) {
    const waiting = yield* Effect.filter(missing, isWaiting)
    for (const { id } of waiting) {
      const times = (timesMissing.get(id) ?? 0) + 1
      timesMissing.set(id, times)
      if (times < mostSendings) continue
      timesMissing.delete(id)
      yield* journal.quarantine(id, neverShown)
      yield* Effect.logError("a block went into quarantine", { reason: neverShown, block: id })
    }
    if (waiting.length > 0) yield* sendAgain("the database does not show all that it took; sending it again")
  })

  /** Confirms what the database cannot lose any more, or has all sent again. */
  const confirm: Effect.Effect<void, DatabaseUnavailable | StoreError> = Effect.gen(function* () {
    const process = yield* learnProcess
    const now = yield* moment
    const wait = process === undefined ? Duration.max(settle, shownAfter) : settle
    const waitNanos = Duration.unsafeToNanos(wait)
    const first = settling.findIndex(({ takenAtNanos }) => now.nanos - takenAtNanos < waitNanos)
    const settled = settling.slice(0, first < 0 ? settling.length : first)
    const blocks = settled.flatMap(({ blocks }) => blocks)
    let missing: ReadonlyArray<TakenBlock> = []
    if (process !== undefined) learnErrors(process)
    // Asked all the time: a database that goes down behind its proxy fails to answer.
    else if (blocks.length > 0) missing = yield* findMissing(blocks)
    else yield* findMissing(settling[0]?.blocks ?? [])
    if (settling.some((entry) => mayHaveLost(process, now, breaks, entry))) {
      return yield* sendAgain("the database was restarted; sending again what it may have lost")
    }
    const isMissing = new Set(missing.map(({ id }) => id))
    const shown = blocks.filter(({ id }) => !isMissing.has(id))
    for (const { id } of shown) timesMissing.delete(id)
    yield* journal.confirm(shown.map(({ id }) => id))
    settling = settling.slice(settled.length)
    if (missing.length > 0) yield* seekMissing(missing)
    if (settling.length === 0) yield* somethingSettles.close
  })

  return {
    taken,
    /** A request that the database did not answer well: it may have been restarted. */
    broke: () => {
      breaks++
    },
    count,
    somethingSettles: somethingSettles.await,
    confirm
  }
})
