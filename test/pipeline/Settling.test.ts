import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Moment, mayHaveLost } from "../../src/pipeline/Settling.js"
import type { DatabaseProcess } from "../../src/store/DatabaseFlags.js"
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
import type { FakeDatabase } from "../support/fakeDatabase.js"

const scenario = makeScenarios()

const hourMs = 3_600_000
const now = Effect.map(Effect.clock, (clock) => Number(clock.unsafeCurrentTimeNanos()) / 1e6)

/** All that it has not put on its disk is lost; its next process takes the time of its start for `clockBehindMs` less. */
const crash = (fake: FakeDatabase, clockBehindMs = 0) =>
  Effect.map(now, (startedMs) => {
    fake.taken.length = 0
    fake.processes = fake.processes.map(() => ({
      startedMs,
      startedAtSeconds: Math.floor((startedMs - clockBehindMs) / 1000),
      clusterErrors: 0
    }))
  })

const timesSent = (fake: FakeDatabase, number: number) =>
  fake.attempts.filter(({ lines }) => numbersIn(lines).includes(number)).length

describe("what the database has taken", () => {
  it("may be lost when it has not run for as long, a part of its cluster has failed, or it may have and nothing tells", () => {
    const process = (uptimeSeconds: number, clusterErrors = 0, startedAtSeconds = 400): DatabaseProcess => ({
      startedAtSeconds,
      uptimeSeconds,
      clusterErrors
    })
    const at = (unixMs: number, monotonicMs = unixMs): Moment => ({ unixMs, nanos: BigInt(monotonicMs) * 1_000_000n })
    const later = at(530_000)
    const known = new Map([[400, 7]])
    const cases: ReadonlyArray<
      [name: string, now: Moment, process: DatabaseProcess | undefined, breaks: number, lost: boolean]
    > = [
      ["it has run for longer", later, process(31), 3, false],
      ["it has run for as long to the second", later, process(30), 3, false],
      ["it has started since", later, process(29), 3, true],
      ["it has run for longer, a request has failed", later, process(31), 4, false],
      ["it has started since and believes to be back in the past", later, process(2, 0, 100), 3, true],
      ["the collector's clock was set back, it has started since", at(400_000, 530_000), process(29), 3, true],
      ["the collector slept, it has started since", at(530_000, 501_000), process(29), 3, true],
      ["nothing tells, no request has failed", later, undefined, 3, false],
      ["nothing tells, a request has failed", later, undefined, 4, true],
      ["a part of the cluster has failed since", later, process(100, 8), 3, true],
      ["parts of the cluster had failed before", later, process(100, 7), 3, false],
      ["another process counts, and nothing has failed", later, process(100, 0, 401), 3, false],
      ["another process counts less, and something has failed", later, process(100, 1, 401), 3, true]
    ]
    for (const [name, now, process, breaks, lost] of cases) {
      const taken = { sentAt: at(500_000), clusterErrors: known, breaks: 3 }
      assert.strictEqual(mayHaveLost(process, now, breaks, taken), lost, name)
    }
  })

  scenario("is sent again after a restart, whatever the database's clock says", (fake) =>
    Effect.gen(function* () {
      yield* appendBlocks(1)
      yield* drained
      yield* crash(fake, 40 * 60_000)
      yield* settled
      assert.deepStrictEqual(takenBy(fake), [1])
    })
  )

  scenario("settles for as long as it does, whatever the time of day is set to", (fake, _directory, _sleeps, clock) =>
    Effect.gen(function* () {
      yield* appendBlocks(1)
      yield* drained
      clock.setBy(hourMs)
      yield* Effect.sleep("5 seconds")
      assert.strictEqual((yield* report).settlingBlocks, 1)
      clock.setBy(-3 * hourMs)
      const fromMs = yield* now
      yield* settled
      assert.isBelow((yield* now) - fromMs, hourMs / 4)
      assert.deepStrictEqual(takenBy(fake), [1])
    })
  )

  scenario("is sent again when a storage node goes away after vminsert was restarted", (fake) =>
    Effect.gen(function* () {
      const failed = (clusterErrors: number) => {
        fake.processes = fake.processes.map((process) => ({ ...process, clusterErrors }))
      }
      failed(200)
      yield* appendBlocks(1)
      yield* settled
      yield* crash(fake)
      yield* Effect.sleep("10 minutes")
      yield* appendBlocks(2)
      yield* drained
      fake.taken.length = 0
      failed(20)
      yield* settled
      assert.deepStrictEqual(takenBy(fake), [2])
    })
  )

  scenario("is not sent for ever where several count their failures behind one address", (fake) =>
    Effect.gen(function* () {
      const [one] = fake.processes
      fake.processes = [one!, { ...one!, startedAtSeconds: one!.startedAtSeconds + 60, clusterErrors: 200 }]
      yield* appendBlocks(1)
      yield* settled
      yield* appendBlocks(2)
      yield* settled
    })
  )
})

describe("behind a proxy with metrics of its own, what the database has taken", () => {
  scenario("is sent again when the database does not show it, though no request has failed", (fake) =>
    Effect.gen(function* () {
      fake.processes = []
      yield* appendBlocks(1)
      yield* settled
      yield* appendBlocks(2, 3)
      yield* drained
      yield* crash(fake)
      yield* settled
      assert.deepStrictEqual(takenBy(fake), [2, 3])
      assert.strictEqual((yield* report).bytes, 0)
    })
  )

  scenario("is kept while the database answers no question, and not sent over and over", (fake) =>
    Effect.gen(function* () {
      fake.processes = []
      fake.shows = undefined
      yield* appendBlocks(1)
      yield* drained
      yield* Effect.sleep("5 minutes")
      const { bytes, lastError, settlingBlocks } = yield* report
      assert.strictEqual(settlingBlocks, 1)
      assert.isAbove(bytes, 0)
      assert.match(lastError?.sentence ?? "", /status 403/)
      // Once; on a busy machine a write may be given up that the database has taken.
      assert.isAtMost(timesSent(fake, 1), 5)
      fake.shows = () => true
      yield* settled
    })
  )

  scenario("goes into quarantine, alone, when the database never shows it", (fake) =>
    Effect.gen(function* () {
      fake.processes = []
      yield* appendBlocks(1, 2, 3)
      yield* drained
      const [, hidden] = fake.taken.filter((line) => line.startsWith("heatpump_activity,"))
      fake.shows = (line) => line !== hidden
      yield* until(Effect.map(report, ({ quarantined }) => quarantined.length > 0))
      yield* settled
      assert.deepStrictEqual((yield* report).quarantined, [
        { reason: "taken by the database, which does not show it", blocks: 1, samples: 1 }
      ])
      assert.isAtLeast(timesSent(fake, 2), 3)
    })
  )
})
