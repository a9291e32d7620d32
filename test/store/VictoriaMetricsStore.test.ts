import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe } from "@effect/vitest"
import { Duration, Effect, Either, Exit, Layer, Logger, Option, Scope, Stream } from "effect"
import { layerDrain } from "../../src/pipeline/Drain.js"
import { Backlog } from "../../src/store/Backlog.js"
import { Journal } from "../../src/store/Journal.js"
import { Store } from "../../src/store/Store.js"
import { VictoriaMetrics } from "../../src/store/VictoriaMetrics.js"
import { layerVictoriaMetricsStore } from "../../src/store/VictoriaMetricsStore.js"
import { victoriaMetricsUrls } from "../../src/store/VictoriaMetricsUrls.js"
import { hasVictoriaMetrics } from "../support/realParts.js"
import { storeContract } from "../support/storeContract.js"
import { type Database, runningDatabase } from "../support/victoriaMetrics.js"

/** VictoriaMetrics keeps 12 significant digits of a number that is not a short decimal. */
const databaseRelativeError = 1e-12

const root = mkdtempSync(join(tmpdir(), "telemetry-journal-"))
const silent = Logger.remove(Logger.defaultLogger)
const noMore = (backlog: Backlog["Type"]) =>
  Effect.map(backlog.report, (report) => report?.waitingBlocks === 0 && report.settlingBlocks === 0)

/** A store of its own with an empty database behind it. */
const layerFresh = (database: Database, settle: Duration.Duration) =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      yield* Effect.promise(async () => {
        await database.flush()
        await fetch(`${database.url}/api/v1/admin/tsdb/delete_series?match[]=${encodeURIComponent('{__name__!=""}')}`)
      })
      const urls = yield* Either.getOrThrow(
        Either.map(victoriaMetricsUrls({ write: database.url, query: undefined, export: undefined }), Effect.succeed)
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
        Layer.provide(silent)
      )
    })
  )

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
})
