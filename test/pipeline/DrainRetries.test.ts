import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Backlog } from "../../src/store/Backlog.js"
import {
  appendBlocks,
  drained,
  makeScenarios,
  numbersIn,
  report,
  settled,
  takenBy,
  until
} from "../support/draining.js"
import { accept, type Behaviour, refuse } from "../support/fakeDatabase.js"

const scenario = makeScenarios()

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
