/**
 * From the journal into the time-series database, for ever.
 *
 * Invariants:
 * - At least once: a block leaves the journal only when the database cannot lose it any more. What is sent twice has
 *   the same series and timestamps, which the database stores once.
 * - Blocks are sent in order of arrival, a few requests at a time.
 * - A block that the database refuses goes into quarantine, alone; one that the database fails to take waits, and with
 *   it all that came after it: nothing is wrong with them.
 * - Where submissions and database share a machine, submissions go first, as long as the journal has room and nothing
 *   waits for minutes: of the homes that come at once after an outage none tries again, and the database can wait.
 *
 * What becomes of a block that the database has taken is `Settling`'s.
 */
import { Cause, Clock, Duration, Effect, Exit, Layer, Option, Random, Schedule } from "effect"
import { runForever } from "../Fatal.js"
import { Metrics, metricTable } from "../observability/Metrics.js"
import { Trend } from "../observability/Trend.js"
import { Backlog, type BacklogReport } from "../store/Backlog.js"
import { DatabaseUnavailable, type WriteRefused } from "../store/DatabaseAnswer.js"
import { Journal, type WaitingBlock } from "../store/Journal.js"
import type { StoreError } from "../store/Store.js"
import { VictoriaMetrics } from "../store/VictoriaMetrics.js"
import { bodyOf, emptyBody, inRequests } from "./DrainRequest.js"
import { InFlight } from "./InFlight.js"
import { type Moment, makeSettling, moment } from "./Settling.js"

interface DrainOptions {
  /** How long an accepted block stays in the journal: several times what the database holds in memory. */
  readonly settle: Duration.Duration
}

/** Blocks read at once: a few MB, however large the backlog. */
const waveBlocks = 32
/** Requests at once. */
export const drainConnections = 4

/** Of the journal's room, and of time, what may be used up while submissions go first. */
const patientShare = 0.5
const longestPatience = Duration.minutes(10)
const lookAgainEvery = Duration.millis(100)

const firstBackOff = Duration.seconds(1)
const longestBackOff = Duration.seconds(30)
/** What a `Retry-After` can ask for at most. */
const longestRetryAfter = Duration.minutes(10)
const longestSettleCheck = Duration.seconds(1)
const shortestSettleCheck = Duration.millis(20)
const journalFailedAgain = Schedule.spaced("5 seconds")
const noteEvery = Duration.seconds(5)
const complainAgainAfter = Duration.minutes(15)

const resultOf = (exit: Exit.Exit<void, WriteRefused | DatabaseUnavailable>): string => {
  if (Exit.isSuccess(exit)) return "accepted"
  const failure = Cause.failureOption(exit.cause)
  if (Option.isNone(failure)) return "interrupted"
  return failure.value._tag === "WriteRefused" ? "refused" : "unavailable"
}

const make = Effect.fn("Drain.make")(function* (options: DrainOptions) {
  const journal = yield* Journal
  const database = yield* VictoriaMetrics
  const metrics = yield* Metrics
  const inFlight = yield* InFlight
  const settleCheckEvery = Duration.clamp(Duration.times(options.settle, 0.1), {
    minimum: shortestSettleCheck,
    maximum: longestSettleCheck
  })
  const drainedTrend = new Trend()
  const bytesTrend = new Trend()

  /** Everything up to this block has been sent since `revision`. */
  let sentId = 0
  let revision = journal.revision()
  const settling = yield* makeSettling(options.settle)
  let drainedSamples = 0
  let lastError: BacklogReport["lastError"]
  let complainedAtMs = Number.NEGATIVE_INFINITY

  const failed = (error: DatabaseUnavailable) =>
    Effect.gen(function* () {
      const atMs = yield* Clock.currentTimeMillis
      settling.broke()
      const sinceMs = lastError === undefined || lastError.isOver ? atMs : lastError.sinceMs
      lastError = { atMs, sinceMs, sentence: error.message, isOver: false }
      if (atMs - complainedAtMs < Duration.toMillis(complainAgainAfter)) return
      complainedAtMs = atMs
      yield* Effect.logWarning(`${error.message}; submissions are accepted and wait in the journal`)
    })

  const accepted = (blocks: ReadonlyArray<WaitingBlock>, sentAt: Moment) =>
    Effect.gen(function* () {
      yield* settling.taken(blocks, sentAt)
      const samples = blocks.reduce((sum, { samples }) => sum + samples, 0)
      drainedSamples += samples
      metrics.add(metricTable.drainedSamples, samples)
      if (lastError === undefined || lastError.isOver) return
      lastError = { ...lastError, isOver: true }
      complainedAtMs = Number.NEGATIVE_INFINITY
      yield* Effect.logInfo("the database takes writes again")
    })

  /** Nothing may be blamed on a block while the database refuses even an empty write. */
  const takesAnEmptyWrite = Effect.catchTag(
    database.write(emptyBody),
    "WriteRefused",
    ({ status }) =>
      new DatabaseUnavailable({
        operation: "take a write",
        reason: `it refuses even an empty one with status ${status}; check VM_WRITE_URL`
      })
  )

  const quarantine = ({ id, records, samples }: WaitingBlock, reason: string) =>
    Effect.gen(function* () {
      yield* takesAnEmptyWrite
      yield* journal.quarantine(id, reason)
      yield* Effect.logError("a block went into quarantine", { reason, block: id, records, samples })
    })

  const deliver = (blocks: ReadonlyArray<WaitingBlock>): Effect.Effect<void, DatabaseUnavailable | StoreError> =>
    Effect.gen(function* () {
      const sentAt = yield* moment
      yield* Effect.onExit(database.write(bodyOf(blocks, journal.collector)), (exit) =>
        Effect.sync(() => metrics.add(metricTable.drainAttempts, 1, { result: resultOf(exit) }))
      )
      yield* accepted(blocks, sentAt)
    }).pipe(
      Effect.catchTag("WriteRefused", (refusal) => {
        if (blocks.length === 1) return quarantine(blocks[0]!, refusal.message)
        const middle = blocks.length >> 1
        return Effect.zipRight(deliver(blocks.slice(0, middle)), deliver(blocks.slice(middle)))
      })
    )

  /** Sends what was read, however often it takes; leaves off when the journal moves on meanwhile. */
  const sendWave = (blocks: ReadonlyArray<WaitingBlock>) =>
    Effect.gen(function* () {
      let left = inRequests(blocks)
      let failures = 0
      while (left.length > 0) {
        // After a failure a single request asks whether the database is back.
        const round = failures === 0 ? left : left.slice(0, 1)
        const errors = yield* journal.exclusively(
          Effect.suspend(() =>
            journal.revision() === revision
              ? Effect.forEach(round, deliverOrReport, { concurrency: drainConnections })
              : Effect.succeed(undefined)
          )
        )
        if (errors === undefined) return
        left = [...round.filter((_, i) => errors[i] !== undefined), ...left.slice(round.length)]
        const real = errors.filter((error) => error !== undefined)
        failures = real.length === 0 ? 0 : failures + 1
        yield* Effect.forEach(real, failed)
        yield* Effect.when(backOff(failures, real), () => failures > 0)
      }
      sentId = blocks.at(-1)!.id
    })
  const deliverOrReport = (request: ReadonlyArray<WaitingBlock>) =>
    deliver(request).pipe(
      Effect.as(undefined),
      Effect.catchTag("DatabaseUnavailable", (error) => Effect.succeed(error))
    )

  const submissionsFirst = Effect.fnUntraced(function* (oldest: WaitingBlock) {
    const patientUntilMs = oldest.activityAtMs + Duration.toMillis(longestPatience)
    while (inFlight.isCrowded() && journal.heldBytes() < journal.maxBytes * patientShare) {
      if ((yield* Clock.currentTimeMillis) >= patientUntilMs) return
      yield* Effect.sleep(lookAgainEvery)
    }
  })

  const drainNext = Effect.gen(function* () {
    if (journal.revision() !== revision) {
      revision = journal.revision()
      sentId = 0
    }
    const blocks = yield* journal.next(sentId, waveBlocks)
    const [oldest] = blocks
    if (oldest === undefined) return yield* journal.arrival
    yield* submissionsFirst(oldest)
    yield* sendWave(blocks)
  })

  const report = Effect.gen(function* () {
    const waiting = yield* journal.waiting(sentId)
    const oldest = yield* journal.oldest(sentId)
    const growth = bytesTrend.perSecond()
    const bytes = journal.heldBytes()
    const result: BacklogReport = {
      waitingBlocks: waiting.blocks,
      waitingSamples: waiting.samples,
      oldestWaitingMs: oldest?.receivedAtMs,
      settlingBlocks: settling.count(),
      quarantined: yield* journal.quarantined,
      bytes,
      maxBytes: journal.maxBytes,
      drainedSamplesPerSecond: Math.round(drainedTrend.perSecond()),
      fullInSeconds: growth > 0 ? Math.round(Math.max(0, journal.maxBytes - bytes) / growth) : undefined,
      lastError
    }
    return result
  })

  const patiently = <E>(task: Effect.Effect<void, E>) =>
    task.pipe(
      Effect.tapError((error) => Effect.logError("the journal failed; trying again", error)),
      Effect.retry(journalFailedAgain)
    )
  yield* runForever(Effect.forever(patiently(drainNext)))
  yield* runForever(
    settling.somethingSettles.pipe(
      Effect.zipRight(Effect.sleep(settleCheckEvery)),
      Effect.zipRight(Effect.catchTag(settling.confirm, "DatabaseUnavailable", failed)),
      patiently,
      Effect.forever
    )
  )
  const note = Effect.map(Clock.currentTimeMillis, (nowMs) => {
    drainedTrend.note(nowMs, drainedSamples)
    bytesTrend.note(nowMs, journal.heldBytes())
  })
  yield* runForever(Effect.forever(Effect.zipRight(note, Effect.sleep(noteEvery))))

  return Backlog.of({ report, resendQuarantined: journal.resendQuarantined })
})

const backOff = (failures: number, errors: ReadonlyArray<DatabaseUnavailable>) =>
  Effect.gen(function* () {
    const askedSeconds = Math.max(0, ...errors.map(({ retryAfterSeconds = 0 }) => retryAfterSeconds))
    if (askedSeconds > 0) return yield* Effect.sleep(Duration.min(Duration.seconds(askedSeconds), longestRetryAfter))
    const doubling = Duration.times(firstBackOff, 2 ** Math.min(failures - 1, 10))
    const jitter = yield* Random.nextRange(0.5, 1)
    yield* Effect.sleep(Duration.times(Duration.min(doubling, longestBackOff), jitter))
  })

/** Drains for the life of the layer. What fails is tried again; a mistake of ours ends the program (`Fatal`). */
export const layerDrain = (options: DrainOptions) => Layer.scoped(Backlog, make(options))
