import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Either, Exit, Layer, Logger, Option, Scope, Stream } from "effect"
import { layerDrain } from "../../src/pipeline/Drain.js"
import { InFlight } from "../../src/pipeline/InFlight.js"
import { Backlog } from "../../src/store/Backlog.js"
import { Journal } from "../../src/store/Journal.js"
import { Store } from "../../src/store/Store.js"
import { VictoriaMetrics } from "../../src/store/VictoriaMetrics.js"
import { layerVictoriaMetricsStore } from "../../src/store/VictoriaMetricsStore.js"
import { victoriaMetricsUrls } from "../../src/store/VictoriaMetricsUrls.js"
import { blockOf } from "../support/blocks.js"
import { hasVictoriaMetrics } from "../support/realParts.js"
import { storeContract } from "../support/storeContract.js"
import { installationOf } from "../support/storeHomes.js"
import { type Database, runningDatabase } from "../support/victoriaMetrics.js"

/** VictoriaMetrics keeps 12 significant digits of a number that is not a short decimal. */
const databaseRelativeError = 1e-12

const root = mkdtempSync(join(tmpdir(), "telemetry-journal-"))
const silent = Logger.remove(Logger.defaultLogger)
const noMore = (backlog: Backlog["Type"]) =>
  Effect.map(backlog.report, (report) => report?.waitingBlocks === 0 && report.settlingBlocks === 0)

const emptied = (database: Database) =>
  Effect.promise(async () => {
    await database.flush()
    await fetch(`${database.url}/api/v1/admin/tsdb/delete_series?match[]=${encodeURIComponent('{__name__!=""}')}`)
  })

/** A collector with a journal of its own. */
const layerCollector = (database: Database, settle: Duration.Duration) =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const urls = yield* Either.getOrThrow(
        Either.map(
          victoriaMetricsUrls({ write: database.url, query: undefined, export: undefined, metrics: undefined }),
          Effect.succeed
        )
      )
      return Layer.merge(layerVictoriaMetricsStore({ retention: Duration.days(365) }), layerDrain({ settle })).pipe(
        Layer.provide(
          Journal.layer({
            file: join(mkdtempSync(join(root, "journal-")), "telemetry.sqlite"),
            minFreeDiskBytes: 0,
            maxBytes: 2 ** 30
          })
        ),
        Layer.provide(
          VictoriaMetrics.layer({
            urls,
            bearerToken: Option.none(),
            basicCredentials: Option.none(),
            writeTimeout: Duration.seconds(5),
            connections: 8
          })
        ),
        Layer.provide([InFlight.layer(2 ** 30), silent])
      )
    })
  )

/** A collector whose database is empty. */
const layerFresh = (database: Database, settle: Duration.Duration) =>
  Layer.unwrapEffect(Effect.as(emptied(database), layerCollector(database, settle)))
/** Means come from the database alone, once it has taken all; what it has taken shows after a flush. */
const layerOnItsWay = (database: Database) =>
  Layer.effect(
    Store,
    Effect.gen(function* () {
      const store = yield* Store
      const backlog = yield* Backlog
      const isWritten = Effect.map(backlog.report, (report) => report?.waitingBlocks === 0)
      const written = Effect.repeat(
        Effect.zipLeft(
          isWritten,
          Effect.promise(() => new Promise((r) => setTimeout(r, 5)))
        ),
        { until: (isSo) => isSo }
      )
      const flushed = Effect.zipRight(
        written,
        Effect.promise(() => database.flush())
      )
      return Store.of({ ...store, means: (query) => Effect.zipRight(flushed, store.means(query)) })
    })
  ).pipe(Layer.provide(layerFresh(database, Duration.days(1))))

/** Answers only when the journal is empty: what is read is in the database alone. */
const layerSettled = (database: Database) =>
  Layer.effect(
    Store,
    Effect.gen(function* () {
      const store = yield* Store
      const backlog = yield* Backlog
      const settled = Effect.zipRight(
        Effect.repeat(
          Effect.zipLeft(
            noMore(backlog),
            Effect.promise(() => new Promise((r) => setTimeout(r, 5)))
          ),
          {
            until: (isSo) => isSo
          }
        ),
        Effect.promise(() => database.flush())
      )
      return Store.of({
        ...store,
        totals: Effect.zipRight(settled, store.totals),
        activeInstallations: (sinceMs) => Effect.zipRight(settled, store.activeInstallations(sinceMs)),
        lastContactMs: (id) => Effect.zipRight(settled, store.lastContactMs(id)),
        means: (query) => Effect.zipRight(settled, store.means(query)),
        read: (id, range) => Stream.unwrap(Effect.as(settled, store.read(id, range))),
        erase: (id) => Effect.zipRight(settled, store.erase(id))
      })
    })
  ).pipe(Layer.provide(layerFresh(database, Duration.zero)))

describe.runIf(hasVictoriaMetrics)("VictoriaMetrics", () => {
  const scope = Effect.runSync(Scope.make())
  let database: Database
  beforeAll(async () => {
    database = await Effect.runPromise(Scope.extend(runningDatabase(), scope))
  })
  afterAll(async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    rmSync(root, { recursive: true })
  })

  storeContract("on its way to the database", () => layerOnItsWay(database), {
    sequences: 10,
    relativeError: 0
  })
  storeContract("settled in the database", () => layerSettled(database), {
    sequences: 10,
    relativeError: databaseRelativeError
  })

  for (const settle of [Duration.zero, Duration.days(1)]) {
    const state = Duration.toMillis(settle) === 0 ? "when all has settled" : "while all is on its way"
    it.live(`two collectors count as one, over a client's update too, ${state}`, () =>
      Effect.gen(function* () {
        yield* emptied(database)
        const scope = yield* Effect.scope
        const [one, two] = yield* Effect.all([
          Layer.buildWithScope(Layer.fresh(layerCollector(database, settle)), scope),
          Layer.buildWithScope(Layer.fresh(layerCollector(database, settle)), scope)
        ])
        const nowMs = Date.now()
        const blockOfHome = (home: number, hour: number, version: string) =>
          Effect.promise(() => {
            const data = [{ timestamp: (nowMs - hour * 3_600_000) / 1000, a: hour, b: 2 }]
            return blockOf({ installation_id: installationOf(home), heatpump_model: "AERO SLM", version, data }, nowMs)
          })
        const stores = [Context.get(one, Store), Context.get(two, Store)]
        yield* stores[0]!.append([yield* blockOfHome(1, 1, "1.0.1"), yield* blockOfHome(2, 1, "1.0.1")])
        yield* stores[1]!.append([yield* blockOfHome(1, 2, "1.1.0"), yield* blockOfHome(3, 1, "1.0.1")])
        for (const collector of [one, two]) {
          const backlog = Context.get(collector, Backlog)
          const isSent = Effect.map(
            backlog.report,
            (report) => report?.waitingBlocks === 0 && (Duration.toMillis(settle) > 0 || report.settlingBlocks === 0)
          )
          yield* Effect.repeat(Effect.zipLeft(isSent, Effect.sleep("10 millis")), { until: (isSo) => isSo })
        }
        yield* Effect.promise(() => database.flush())
        for (const store of stores) {
          assert.deepInclude(yield* store.totals, { installations: 3, blocks: 4, records: 4, samples: 8 })
          assert.strictEqual(yield* store.activeInstallations(nowMs - 30 * 86_400_000), 3)
          const records = yield* Stream.runCollect(store.read(installationOf(1)))
          assert.deepStrictEqual(
            [...records].map(({ tags, values }) => [tags.get("version"), values.get("a")]),
            [
              ["1.1.0", 2],
              ["1.0.1", 1]
            ]
          )
        }
      }).pipe(Effect.scoped)
    )
  }

  it.scopedLive("what the database keeps beyond the retention is read too, until it drops it", () =>
    Effect.gen(function* () {
      yield* emptied(database)
      const collector = yield* Layer.build(layerCollector(database, Duration.zero))
      const store = Context.get(collector, Store)
      const nowMs = Date.now()
      // The collector's retention is 365 days, the database's 13 months.
      for (const days of [380, 366, 364, 1]) {
        const atMs = nowMs - days * 86_400_000
        const body = {
          installation_id: installationOf(1),
          heatpump_model: "AERO SLM",
          version: "1.0.1",
          data: [{ timestamp: Math.floor(atMs / 1000), days }]
        }
        yield* store.append([yield* Effect.promise(() => blockOf(body, atMs))])
      }
      yield* Effect.repeat(Effect.zipLeft(noMore(Context.get(collector, Backlog)), Effect.sleep("10 millis")), {
        until: (isSo) => isSo
      })
      yield* Effect.promise(() => database.flush())
      const daysOf = (range?: { readonly fromMs: number }) =>
        Effect.map(Stream.runCollect(store.read(installationOf(1), range)), (records) =>
          [...records].map(({ values }) => values.get("days"))
        )
      assert.deepStrictEqual(yield* daysOf(), [380, 366, 364, 1])
      assert.deepStrictEqual(yield* daysOf({ fromMs: nowMs - 370 * 86_400_000 }), [366, 364, 1])
    })
  )

  it.scopedLive("homes that only the database has, left by a server before, are listed and erased", () =>
    Effect.gen(function* () {
      yield* emptied(database)
      const store = Context.get(yield* Layer.build(layerCollector(database, Duration.zero)), Store)
      const [former, staying] = [installationOf(7), installationOf(8)]
      const lineOf = (id: string) =>
        `heatpump_metrics,installation_id=${id},model=AERO_SLM,version=0.9 temp_outside=5.5 ${Date.now() - 3_600_000}`
      const longAgoMs = Date.now() - 380 * 86_400_000
      const counted = `heatpump_activity,installation_id=${staying},collector=former records=1,samples=1 ${longAgoMs}`
      yield* Effect.promise(async () => {
        const body = [...[former, staying].map(lineOf), lineOf("no-uuid"), counted].join("\n")
        await fetch(`${database.url}/write?precision=ms`, { method: "POST", body })
        await database.flush()
      })
      const uncounted = { lastReceivedMs: undefined, records: undefined, samples: undefined }
      const listed = Effect.repeat(Effect.zipLeft(store.installations, Effect.sleep("50 millis")), {
        until: (all) => all.length === 2
      })
      assert.deepStrictEqual(yield* listed, [
        { id: former, ...uncounted },
        { id: staying, ...uncounted }
      ])
      assert.strictEqual(yield* store.oldestMs, longAgoMs, "beyond the retention")
      assert.strictEqual((yield* Stream.runCollect(store.read(former))).length, 1)
      yield* store.erase(former)
      assert.deepStrictEqual(yield* store.installations, [{ id: staying, ...uncounted }])
      assert.strictEqual((yield* Stream.runCollect(store.read(former))).length, 0)
    })
  )
})
