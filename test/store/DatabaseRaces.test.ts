/** What is counted and read while blocks move from the journal into the database, moment by moment. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Stream } from "effect"
import { Journal } from "../../src/store/Journal.js"
import { Store } from "../../src/store/Store.js"
import { VictoriaMetrics } from "../../src/store/VictoriaMetrics.js"
import { layerVictoriaMetricsStore } from "../../src/store/VictoriaMetricsStore.js"
import { makeJumpingClock } from "../support/clock.js"
import { blockOf, freshJournals, startMs } from "../support/journal.js"
import { installationOf } from "../support/storeHomes.js"
import { captureLogs } from "../support/testServer.js"

const fresh = freshJournals()
const unasked = () => Effect.dieMessage("not asked in these tests")

/** A database that had nothing when it was asked, and after whose answer `meanwhile` happens. */
const emptyDatabase = (meanwhile: Effect.Effect<void>) =>
  VictoriaMetrics.of({
    write: unasked,
    query: () => Effect.as(meanwhile, []),
    export: (_, fromMs, untilMs) => (fromMs <= startMs && startMs < untilMs ? Stream.execute(meanwhile) : Stream.empty),
    exportBytes: () => Stream.empty,
    deleteSeries: unasked,
    series: () => Effect.succeed([]),
    hasSeries: () => Effect.succeed(false),
    installations: Effect.succeed([]),
    flush: Effect.void,
    instance: unasked()
  })

/** Two hours after three blocks came in that still wait; all are confirmed while the database answers. */
const whileConfirming = <A, E>(body: (store: Store["Type"]) => Effect.Effect<A, E>) => {
  const clock = makeJumpingClock(startMs)
  const layerDatabase = Layer.effect(
    VictoriaMetrics,
    Effect.map(Journal, (journal) => emptyDatabase(Effect.orDie(journal.confirm([1, 2, 3]))))
  )
  const layer = layerVictoriaMetricsStore({ retention: Duration.days(365) }).pipe(
    Layer.provide(layerDatabase),
    Layer.provideMerge(Journal.layer(fresh())),
    Layer.provide(captureLogs().layer)
  )
  return Effect.gen(function* () {
    const journal = yield* Journal
    yield* journal.append([blockOf(1, 0), blockOf(1, 1), blockOf(2, 2)])
    yield* clock.jumpTo(startMs + 7_200_000)
    const result = yield* body(yield* Store)
    assert.strictEqual((yield* journal.waiting(0)).blocks, 0, "they have been confirmed meanwhile")
    return result
  }).pipe(Effect.provide(layer), Effect.withClock(clock.clock))
}

describe("blocks that reach the database while it is asked", () => {
  it.scopedLive("are read all the same", () =>
    Effect.gen(function* () {
      const records = yield* whileConfirming((store) => Stream.runCollect(store.read(installationOf(1))))
      assert.deepStrictEqual(
        [...records].map(({ tags, values }) => [tags.get("model"), values.get("value")]),
        [
          ["M0", 0],
          ["M1", 1]
        ]
      )
    })
  )

  it.scopedLive("are counted all the same, in all and by home", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* whileConfirming((store) => store.totals), {
        installations: 2,
        blocks: 3,
        records: 6,
        samples: 12
      })
      const summaries = yield* whileConfirming((store) => store.installations)
      assert.deepStrictEqual(
        summaries.map(({ records, samples }) => [records, samples]),
        [
          [3, 6],
          [3, 6]
        ]
      )
    })
  )
})
