import { mkdtempSync, rmSync } from "node:fs"
import { IncomingMessage } from "node:http"
import { Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Either, Fiber, Layer, Option, type Scope } from "effect"
import { layerDrain } from "../../src/pipeline/Drain.js"
import { InFlight } from "../../src/pipeline/InFlight.js"
import { Backlog } from "../../src/store/Backlog.js"
import { Journal } from "../../src/store/Journal.js"
import { VictoriaMetrics } from "../../src/store/VictoriaMetrics.js"
import { victoriaMetricsUrls } from "../../src/store/VictoriaMetricsUrls.js"
import { blockOf, noisyBlock } from "../support/blocks.js"
import { makeFastClock } from "../support/clock.js"
import { accept, type Behaviour, type FakeDatabase, fakeDatabase, refuse } from "../support/fakeDatabase.js"
import { installationOf } from "../support/storeHomes.js"
import { captureLogs } from "../support/testServer.js"

const root = mkdtempSync(join(tmpdir(), "telemetry-drain-"))
afterAll(() => rmSync(root, { recursive: true }))

/** So many seconds in one, so that pauses and time-outs are real. */
const factor = 100
const settle = Duration.seconds(20)

const inFlightBytes = 1_600_000
const journalBytes = 1_000_000
const layerDraining = (url: string, directory: string) =>
  layerDrain({ settle }).pipe(
    Layer.provideMerge(InFlight.layer(inFlightBytes)),
    Layer.provideMerge(
      Journal.layer({ file: join(directory, "telemetry.sqlite"), minFreeDiskBytes: 0, maxBytes: journalBytes })
    ),
    Layer.provide(
      VictoriaMetrics.layer({
        urls: Either.getOrThrow(victoriaMetricsUrls({ write: url, query: undefined, export: undefined })),
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
const appendBlocks = (...numbers: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    for (const number of numbers) yield* journal.append([yield* blockNumber(number)])
  })
/** The blocks in a list of lines, in their order. */
const numbersIn = (lines: ReadonlyArray<string>) =>
  lines.flatMap((line) => /^heatpump_metrics,.* number=(\d+)/.exec(line)?.[1] ?? []).map(Number)

/** On a busy machine a write may be given up that the database has taken: it is sent again, and stored once. */
const takenBy = (fake: FakeDatabase) => [...new Set(numbersIn(fake.taken))]

const report = Effect.flatMap(Backlog, (backlog) => Effect.map(backlog.report, (report) => report!))
const until = <E, R>(isSo: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(Effect.zipLeft(isSo, Effect.sleep("1 second")), { until: (so) => so }).pipe(
    Effect.timeoutFail({ duration: "30 minutes", onTimeout: () => new Error("it never came to be") })
  )
const drained = until(Effect.map(report, ({ waitingBlocks }) => waitingBlocks === 0))
const settled = until(Effect.map(report, ({ settlingBlocks, waitingBlocks }) => waitingBlocks + settlingBlocks === 0))

const scenario = <E>(
  name: string,
  body: (
    fake: FakeDatabase,
    directory: string,
    sleepsMs: ReadonlyArray<number>
  ) => Effect.Effect<void, E, Journal | Backlog | InFlight | Scope.Scope>
) =>
  it(name, () => {
    const sleepsMs: Array<number> = []
    const clock = makeFastClock(factor, (ms) => sleepsMs.push(ms))
    const logs = captureLogs()
    return Effect.gen(function* () {
      const fake = yield* fakeDatabase(() => clock.unsafeCurrentTimeMillis())
      const directory = mkdtempSync(join(root, "journal-"))
      yield* body(fake, directory, sleepsMs).pipe(
        Effect.provide(Layer.provideMerge(layerDraining(fake.url, directory), logs.layer))
      )
      assert.notInclude(logs.lines.join("\n"), "4711", "a log repeats what the database quoted")
    }).pipe(Effect.scoped, Effect.withClock(clock), Effect.runPromise)
  })

const halfAnAnswer: Behaviour = (_write, response) => {
  response.writeHead(200, { "content-length": "100" })
  response.write("half", () => response.destroy())
  return false
}
const reset: Behaviour = (_write, response) => {
  response.socket?.resetAndDestroy()
  return false
}
const silence: Behaviour = () => false

describe("the retry table", () => {
  const failures = 8
  const waits: ReadonlyArray<readonly [string, Behaviour, RegExp]> = [
    ["401", refuse(401), /status 401/],
    ["403", refuse(403), /status 403/],
    ["404", refuse(404), /status 404/],
    ["429", refuse(429), /status 429/],
    ["500", refuse(500), /status 500/],
    ["503", refuse(503), /status 503/],
    ["half an answer", halfAnAnswer, /the connection failed/],
    ["a reset", reset, /the connection failed/],
    ["nothing at all", silence, /no answer in time/]
  ]
  for (const [name, behaviour, sentence] of waits) {
    scenario(
      `${name}: the block waits, doubling its pauses up to 30 s, and arrives once the database works`,
      (fake, _, sleepsMs) =>
        Effect.gen(function* () {
          fake.behave = (...of) => (fake.attempts.length <= failures ? behaviour(...of) : accept(...of))
          yield* appendBlocks(1)
          yield* drained
          assert.deepStrictEqual(takenBy(fake), [1])
          // On a slow machine more attempts may have been given up.
          assert.isAbove(fake.attempts.length, failures)
          // Chance makes them no whole number of milliseconds, unlike every other sleep.
          const pausesMs = sleepsMs.filter((ms) => !Number.isInteger(ms))
          assert.isAtLeast(pausesMs.length, failures)
          pausesMs.forEach((ms, i) => {
            const longest = Math.min(30_000, 1_000 * 2 ** i)
            assert.isAtLeast(ms, longest / 2)
            assert.isAtMost(ms, longest)
          })
          const { lastError, quarantined } = yield* report
          assert.match(lastError?.sentence ?? "", sentence)
          assert.isTrue(lastError?.isOver)
          assert.isEmpty(quarantined)
        })
    )
  }

  for (const [name, retryAfter] of [
    ["in seconds", () => "90"],
    ["as a date", (nowMs: number) => new Date(nowMs + 90_000).toUTCString()]
  ] as const) {
    scenario(`429 with Retry-After ${name}: it wins over the doubling pause`, (fake, _, sleepsMs) =>
      Effect.gen(function* () {
        fake.behave = (write, ...of) =>
          (fake.attempts.length === 1 ? refuse(429, { "retry-after": retryAfter(write.atMs) }) : accept)(write, ...of)
        yield* appendBlocks(1)
        yield* drained
        // Longer than any pause of its own, and shorter than upkeep's; a date is nearer by what the answer took.
        const asked = sleepsMs.filter((ms) => ms > 30_000 && ms < 1_000_000)
        assert.lengthOf(asked, 1)
        assert.isAtMost(asked[0]!, 90_000)
      })
    )
  }

  for (const status of [400, 413, 422]) {
    scenario(`${status}: the one block that is refused goes into quarantine, its neighbours arrive`, (fake) =>
      Effect.gen(function* () {
        fake.behave = (write, ...of) => (numbersIn(write.lines).includes(13) ? refuse(status) : accept)(write, ...of)
        yield* appendBlocks(...Array.from({ length: 20 }, (_, i) => i + 1))
        yield* drained
        const others = Array.from({ length: 20 }, (_, i) => i + 1).filter((number) => number !== 13)
        assert.sameMembers(takenBy(fake), others)
        const reason = `refused by the database with status ${status}`
        assert.deepStrictEqual((yield* report).quarantined, [{ reason, blocks: 1, samples: 1 }])
        fake.behave = accept
        assert.strictEqual(yield* Effect.flatMap(Backlog, (backlog) => backlog.resendQuarantined), 1)
        yield* settled
        assert.include(takenBy(fake), 13)
        assert.isEmpty((yield* report).quarantined)
        assert.strictEqual((yield* report).bytes, 0)
      })
    )
  }

  scenario("400 to everything: nothing is blamed on a block, all wait until the database is set up right", (fake) =>
    Effect.gen(function* () {
      fake.behave = refuse(400)
      yield* appendBlocks(1, 2, 3)
      yield* until(Effect.sync(() => fake.attempts.length > 12))
      const { lastError, quarantined, waitingBlocks } = yield* report
      assert.deepStrictEqual([quarantined.length, waitingBlocks], [0, 3])
      assert.match(lastError?.sentence ?? "", /even an empty one with status 400; check VM_WRITE_URL/)
      fake.behave = accept
      yield* drained
      assert.sameMembers(takenBy(fake), [1, 2, 3])
    })
  )
})

describe("the drain", () => {
  scenario(
    "sends a backlog in order of arrival, several blocks per request, and what each home sent beside it",
    (fake) =>
      Effect.gen(function* () {
        fake.behave = refuse(503)
        const numbers = Array.from({ length: 100 }, (_, i) => i)
        yield* appendBlocks(...numbers)
        fake.behave = accept
        yield* settled
        const taken = fake.attempts.filter(({ lines }) => lines.length > 2)
        assert.isAtMost(taken.length, 20)
        for (const { lines } of taken) {
          const inRequest = numbersIn(lines)
          assert.deepStrictEqual(
            inRequest,
            inRequest.toSorted((a, b) => a - b)
          )
        }
        assert.sameMembers(takenBy(fake), numbers)
        const activity = new Set(fake.taken.filter((line) => line.startsWith("heatpump_activity,")))
        assert.strictEqual(activity.size, 100)
        assert.strictEqual(new Set(Array.from(activity, (line) => line.split(" ").at(-1))).size, 100)
      })
  )

  scenario(
    "keeps what was taken until it has settled, and sends all of it again after a crash before",
    (fake, directory) =>
      Effect.gen(function* () {
        yield* appendBlocks(1, 2, 3)
        yield* drained
        assert.strictEqual((yield* report).settlingBlocks, 3)
        assert.isAbove((yield* report).bytes, 0)
        // What a crash leaves: the same file, opened by another process.
        fake.taken.length = 0
        yield* settled.pipe(Effect.provide(layerDraining(fake.url, directory)))
        assert.sameMembers(takenBy(fake), [1, 2, 3])
      })
  )

  scenario("says how much waits, since when, and when the journal will be full", (fake) =>
    Effect.gen(function* () {
      fake.behave = refuse(503)
      yield* appendBlocks(1, 2)
      yield* Effect.sleep("30 seconds")
      yield* appendBlocks(3)
      yield* Effect.sleep("10 seconds")
      const backlog = yield* report
      assert.deepInclude(backlog, { waitingBlocks: 3, waitingSamples: 3, settlingBlocks: 0 })
      const nowMs = yield* Effect.map(Effect.clock, (clock) => clock.unsafeCurrentTimeMillis())
      assert.isAtLeast(nowMs - (backlog.oldestWaitingMs ?? nowMs), 39_000)
      assert.isAbove(backlog.fullInSeconds ?? 0, 60)
      fake.behave = accept
      yield* drained
      assert.isAbove((yield* report).drainedSamplesPerSecond, -1)
    })
  )

  /** A body that takes `bytes` of the room for all, until it is interrupted. */
  const bodyOfBytes = (bytes: number) =>
    Effect.gen(function* () {
      const { hold } = yield* InFlight
      const request = new IncomingMessage(new Socket())
      const started = yield* Effect.makeLatch(false)
      const body = yield* Effect.forkScoped(
        hold(request, (room) => {
          assert.isTrue(room(bytes, () => {}))
          return Effect.zipRight(started.open, Effect.never)
        })
      )
      yield* started.await
      return body
    })

  scenario("lets submissions that crowd go first, and goes on when they have been stored", (fake) =>
    Effect.gen(function* () {
      const one = yield* bodyOfBytes(200_000)
      yield* appendBlocks(1)
      yield* drained
      const other = yield* bodyOfBytes(200_000)
      yield* appendBlocks(2)
      yield* Effect.sleep("2 minutes")
      assert.deepStrictEqual(numbersIn(fake.taken), [1])
      yield* Fiber.interrupt(one)
      yield* drained
      assert.deepStrictEqual(numbersIn(fake.taken), [1, 2])
      yield* Fiber.interrupt(other)
    })
  )

  scenario("does not let the journal run full for that", (_fake, _directory, sleepsMs) =>
    Effect.gen(function* () {
      yield* bodyOfBytes(900_000)
      const { append, heldBytes } = yield* Journal
      const [half, rest] = yield* Effect.promise(() =>
        Promise.all([130, 60].map((records) => noisyBlock(installationOf(1), records, records, nowMs)))
      )
      yield* append([half!])
      assert.isBelow(heldBytes(), journalBytes / 2)
      yield* Effect.sleep("1 minute")
      assert.strictEqual((yield* report).waitingBlocks, 1)
      const looks = () => sleepsMs.filter((ms) => ms === 100).length
      const looksBefore = looks()
      yield* append([rest!])
      assert.isAbove(heldBytes(), journalBytes / 2)
      yield* drained
      assert.isAtMost(looks() - looksBefore, 1)
    })
  )

  scenario("has submissions that never cease to crowd wait no longer than ten minutes", (fake) =>
    Effect.gen(function* () {
      yield* bodyOfBytes(900_000)
      const nowMs = Effect.map(Effect.clock, (clock) => clock.unsafeCurrentTimeMillis())
      const startMs = yield* nowMs
      yield* appendBlocks(1)
      yield* drained
      assert.isAtLeast((yield* nowMs) - startMs, 600_000)
      assert.deepStrictEqual(numbersIn(fake.taken), [1])
    })
  )
})
