/** The drain in front of a database of the tests' own, in a time that runs faster. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, it } from "@effect/vitest"
import { Duration, Effect, Either, Layer, Option, type Scope } from "effect"
import { layerDrain } from "../../src/pipeline/Drain.js"
import { InFlight } from "../../src/pipeline/InFlight.js"
import { Backlog } from "../../src/store/Backlog.js"
import { Journal } from "../../src/store/Journal.js"
import { VictoriaMetrics } from "../../src/store/VictoriaMetrics.js"
import { victoriaMetricsUrls } from "../../src/store/VictoriaMetricsUrls.js"
import { blockOf } from "./blocks.js"
import { makeAdjustableClock, makeFastClock } from "./clock.js"
import { type FakeDatabase, fakeDatabase } from "./fakeDatabase.js"
import { installationOf } from "./storeHomes.js"
import { captureLogs } from "./testServer.js"

/** So many seconds in one, so that pauses and time-outs are real. */
const factor = 100
const settle = Duration.seconds(60)

const inFlightBytes = 1_600_000
export const journalBytes = 1_000_000
export const layerDraining = (url: string, directory: string) =>
  layerDrain({ settle }).pipe(
    Layer.provideMerge(InFlight.layer(inFlightBytes)),
    Layer.provideMerge(
      Journal.layer({ file: join(directory, "telemetry.sqlite"), minFreeDiskBytes: 0, maxBytes: journalBytes })
    ),
    Layer.provide(
      VictoriaMetrics.layer({
        urls: Either.getOrThrow(
          victoriaMetricsUrls({ write: url, query: undefined, export: undefined, metrics: undefined })
        ),
        bearerToken: Option.none(),
        basicCredentials: Option.none(),
        writeTimeout: Duration.seconds(30),
        connections: 8
      })
    )
  )

const nowMs = Date.now()
/** One block whose lines say which it is. */
const blockNumber = (number: number) =>
  Effect.promise(() =>
    blockOf({ installation_id: installationOf(1), data: [{ timestamp: nowMs / 1000, number }] }, nowMs)
  )
export const appendBlocks = (...numbers: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    for (const number of numbers) yield* journal.append([yield* blockNumber(number)])
  })
/** The blocks in a list of lines, in their order. */
export const numbersIn = (lines: ReadonlyArray<string>) =>
  lines.flatMap((line) => /^heatpump_metrics,.* number=(\d+)/.exec(line)?.[1] ?? []).map(Number)

/** On a busy machine a write may be given up that the database has taken: it is sent again, and stored once. */
export const takenBy = (fake: FakeDatabase) => [...new Set(numbersIn(fake.taken))]

export const report = Effect.flatMap(Backlog, (backlog) => Effect.map(backlog.report, (report) => report!))
export const until = <E, R>(isSo: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(Effect.zipLeft(isSo, Effect.sleep("1 second")), { until: (so) => so }).pipe(
    Effect.timeoutFail({ duration: "30 minutes", onTimeout: () => new Error("it never came to be") })
  )
export const drained = until(Effect.map(report, ({ waitingBlocks }) => waitingBlocks === 0))
export const settled = until(
  Effect.map(report, ({ settlingBlocks, waitingBlocks }) => waitingBlocks + settlingBlocks === 0)
)

/** Declares tests, each with a journal of its own, in the file that calls it. */
export const makeScenarios = () => {
  const root = mkdtempSync(join(tmpdir(), "telemetry-drain-"))
  afterAll(() => rmSync(root, { recursive: true }))
  return <E>(
    name: string,
    body: (
      fake: FakeDatabase,
      directory: string,
      sleepsMs: ReadonlyArray<number>,
      clock: ReturnType<typeof makeAdjustableClock>
    ) => Effect.Effect<void, E, Journal | Backlog | InFlight | Scope.Scope>
  ) =>
    it(name, () => {
      const sleepsMs: Array<number> = []
      const fast = makeFastClock(factor, (ms) => sleepsMs.push(ms))
      const adjustable = makeAdjustableClock(fast)
      const logs = captureLogs()
      return Effect.gen(function* () {
        const fake = yield* fakeDatabase(() => fast.unsafeCurrentTimeMillis())
        const directory = mkdtempSync(join(root, "journal-"))
        yield* body(fake, directory, sleepsMs, adjustable).pipe(
          Effect.provide(Layer.provideMerge(layerDraining(fake.url, directory), logs.layer))
        )
        assert.notInclude(logs.lines.join("\n"), "4711", "a log repeats what the database quoted")
      }).pipe(Effect.scoped, Effect.withClock(adjustable.clock), Effect.runPromise)
    })
}
