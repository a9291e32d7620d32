/** What a scrape finds out besides what is counted: the state of the store, its journal, the models, the program. */
import { statfsSync } from "node:fs"
import { FileSystem, Path } from "@effect/platform"
import { Clock, Data, Duration, Effect, Either, Option, Schema } from "effect"
import { loadLastTraining } from "../artifact/LastTraining.js"
import { Registry } from "../artifact/Registry.js"
import { Backlog } from "../store/Backlog.js"
import { Store } from "../store/Store.js"
import { metricTable as metric, type Observed, observed } from "./Metrics.js"

export interface ScrapeOptions {
  readonly version: string
  readonly nodeVersion: string
  readonly modelDir: string
  readonly dataDir: string
  readonly minFreeDiskBytes: number
}

/** The disk cannot be asked. */
class DiskUnknown extends Data.TaggedError("DiskUnknown")<{ readonly cause: unknown }> {
  override get message() {
    return "the free space of DATA_DIR cannot be measured"
  }
}

const activeWindow = Duration.days(30)
/** Behind a database these are queries; scrapes come every few seconds. */
const totalsEvery = Duration.seconds(30)

const TrainingMetadata = Schema.parseJson(Schema.Struct({ model: Schema.String, created: Schema.String }))
const metadataExtension = /_metadata\.json$/

export const makeScrape = Effect.fn("Scrape.make")(function* (options: ScrapeOptions) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const store = yield* Store
  const registry = yield* Registry
  const backlog = yield* Backlog

  const disk = Effect.gen(function* () {
    const { bavail, bsize } = yield* Effect.try({
      try: () => statfsSync(options.dataDir),
      catch: (cause) => new DiskUnknown({ cause })
    })
    return [
      observed(metric.diskFreeBytes, bavail * bsize),
      observed(metric.diskMinFreeBytes, options.minFreeDiskBytes),
      observed(metric.storeReady, Either.isRight(yield* Effect.either(store.ready)) ? 1 : 0)
    ]
  })

  const totals = yield* Effect.cachedWithTTL(
    Effect.gen(function* () {
      const nowMs = yield* Clock.currentTimeMillis
      const [active, totals] = yield* Effect.all(
        [store.activeInstallations(nowMs - Duration.toMillis(activeWindow)), store.totals],
        { concurrency: "unbounded" }
      )
      return [
        observed(metric.activeInstallations, active),
        observed(metric.installations, totals.installations),
        observed(metric.storeBytes, totals.bytesOnDisk),
        ...(totals.lastReceivedMs === undefined ? [] : [observed(metric.lastSubmission, totals.lastReceivedMs / 1000)])
      ]
    }),
    totalsEvery
  )

  const journal = Effect.gen(function* () {
    const report = yield* backlog.report
    if (report === undefined) return []
    const nowMs = yield* Clock.currentTimeMillis
    const { lastError, oldestWaitingMs } = report
    return [
      observed(metric.journalBytes, report.bytes),
      observed(metric.journalMaxBytes, report.maxBytes),
      observed(metric.journalWaitingBlocks, report.waitingBlocks),
      observed(metric.journalWaitingSamples, report.waitingSamples),
      observed(metric.journalOldest, oldestWaitingMs === undefined ? 0 : (nowMs - oldestWaitingMs) / 1000),
      observed(metric.journalSettling, report.settlingBlocks),
      observed(
        metric.journalQuarantined,
        report.quarantined.reduce((sum, { blocks }) => sum + blocks, 0)
      ),
      observed(metric.databaseUp, lastError === undefined || lastError.isOver ? 1 : 0)
    ]
  })

  const trained = Effect.fnUntraced(function* (name: string) {
    const { created, model } = yield* fs
      .readFileString(path.join(options.modelDir, name))
      .pipe(Effect.flatMap(Schema.decode(TrainingMetadata)))
    return observed(metric.trainingFinished, Date.parse(created) / 1000, { model, result: "trained" })
  })

  const lastRun = Effect.map(
    loadLastTraining(options.modelDir),
    Option.match({
      onNone: () => [],
      onSome: ({ finished, models, started }) =>
        models.map(({ model, result }) => observed(metric.trainingFinished, finished ?? started, { model, result }))
    })
  )

  const models = Effect.gen(function* () {
    const files = yield* registry.list
    const names = yield* Effect.orElseSucceed(fs.readDirectory(options.modelDir), (): ReadonlyArray<string> => [])
    const trainings = yield* Effect.forEach(
      names.filter((name) => metadataExtension.test(name)),
      trained
    )
    return [
      ...files.flatMap(({ filename, modifiedMs, name, sizeBytes }) => {
        const labels = { model: name, format: filename.slice(name.length + 1) }
        return [
          observed(metric.modelBytes, sizeBytes, labels),
          observed(metric.modelModified, modifiedMs / 1000, labels)
        ]
      }),
      ...trainings,
      ...(yield* lastRun)
    ]
  })

  /** A part that cannot be read is missing, and says so. */
  const part = <E, R>(name: string, found: Effect.Effect<ReadonlyArray<Observed>, E, R>) =>
    Effect.timeout(found, "8 seconds").pipe(
      Effect.tapError((error) => Effect.logWarning(`metrics: the ${name} cannot be read`, error)),
      Effect.option,
      Effect.map((gauges) => [
        ...Option.getOrElse(gauges, () => []),
        observed(metric.collected, Option.isSome(gauges) ? 1 : 0, { part: name })
      ])
    )

  return Effect.all([part("disk", disk), part("store", totals), part("journal", journal), part("models", models)], {
    concurrency: "unbounded"
  }).pipe(
    Effect.map((found) => [
      observed(metric.build, 1, { version: options.version, node_version: options.nodeVersion }),
      ...found.flat()
    ]),
    Effect.provideService(FileSystem.FileSystem, fs),
    Effect.provideService(Path.Path, path)
  )
})
