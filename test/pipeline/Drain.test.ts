import { IncomingMessage } from "node:http"
import { Socket } from "node:net"
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { InFlight } from "../../src/pipeline/InFlight.js"
import { Journal } from "../../src/store/Journal.js"
import { noisyBlock } from "../support/blocks.js"
import {
  appendBlocks,
  drained,
  journalBytes,
  layerDraining,
  makeScenarios,
  numbersIn,
  report,
  settled,
  takenBy
} from "../support/draining.js"
import { accept, refuse } from "../support/fakeDatabase.js"
import { installationOf } from "../support/storeHomes.js"

const scenario = makeScenarios()

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
      assert.deepStrictEqual(takenBy(fake), [1])
      yield* Fiber.interrupt(one)
      yield* drained
      assert.deepStrictEqual(takenBy(fake), [1, 2])
      yield* Fiber.interrupt(other)
    })
  )

  scenario("does not let the journal run full for that", (_fake, _directory, sleepsMs) =>
    Effect.gen(function* () {
      yield* bodyOfBytes(900_000)
      const { append, heldBytes } = yield* Journal
      const [half, rest] = yield* Effect.promise(() =>
        Promise.all([130, 60].map((records) => noisyBlock(installationOf(1), records, records, Date.now())))
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
      assert.deepStrictEqual(takenBy(fake), [1])
    })
  )
})
