import { Command, Options } from "@effect/cli"
import { FileSystem, Path } from "@effect/platform"
import { Clock, Console, Duration, Effect, Layer, Option } from "effect"
import { modelJson } from "../src/artifact/ModelJson.js"
import { checkOutput, writeOutput } from "../src/artifact/ModelOutput.js"
import { writeModel } from "../src/artifact/RiverPickle.js"
import { canonicalModel, isModelName } from "../src/domain/ModelName.js"
import { SettingInvalid } from "../src/Secrets.js"
import * as Settings from "../src/Settings.js"
import type { Dataset } from "../src/training/Dataset.js"
import { openEmbeddedDataset } from "../src/training/EmbeddedDataset.js"
import { openFileDataset } from "../src/training/FileDataset.js"
import { train as trainModel } from "../src/training/Trainer.js"
import { metadataOf, summaryLines, summaryMarkdown } from "../src/training/TrainingReport.js"
import { makeVictoriaMetricsDataset } from "../src/training/VictoriaMetricsDataset.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { dataDir } from "./serve.js"
import { layerDatabase } from "./store.js"
import { noProgress, trainingProgress } from "./TrainingProgress.js"
import { version } from "./version.js"

const model = Options.text("model").pipe(
  Options.withDescription("Heat pump model to train; a space and an underscore mean the same")
)
const from = Options.text("from").pipe(
  Options.withDescription("Read this export of VictoriaMetrics (JSON lines, also gzipped) instead of the store"),
  Options.optional
)
const days = Options.integer("days").pipe(
  Options.withDescription("Days back from now, or from the newest record of a file; all that is retained by default"),
  Options.optional
)
const minInstallations = Options.integer("min-installations").pipe(
  Options.withDescription("Installations without which no model is trained (MIN_INSTALLATIONS)"),
  Options.withFallbackConfig(Settings.minInstallations)
)
const minPoints = Options.integer("min-points").pipe(
  Options.withDescription("Records without which no model is trained (MIN_DATA_POINTS)"),
  Options.withFallbackConfig(Settings.minDataPoints)
)
const output = Options.text("output").pipe(
  Options.withAlias("o"),
  Options.withDescription("File to write; MODEL_DIR/<model>.pkl by default. Its JSON and metadata go beside it"),
  Options.optional
)
const seed = Options.integer("seed").pipe(
  Options.withDescription("Another seed gives another model of the same data"),
  Options.withDefault(42)
)
const quiet = Options.boolean("quiet").pipe(Options.withAlias("q"), Options.withDescription("Show no progress"))
const json = Options.boolean("json").pipe(Options.withDescription("Print the result as JSON"))

/** Loggers' clocks may be ahead by that much. */
const aheadMs = Duration.toMillis("1 day")
const mostDays = 365

export const openDataset = Effect.fn("train.openDataset")(function* (from: Option.Option<string>, dataDir: string) {
  if (Option.isSome(from)) return yield* openFileDataset(from.value)
  const path = yield* Path.Path
  const settings = yield* Settings.victoriaMetrics
  // A step of a pipeline may know where to read, and not where to write.
  const readUrl = settings.exportUrl || settings.queryUrl || settings.writeUrl
  if (readUrl === "") return yield* openEmbeddedDataset(path.join(dataDir, "telemetry.sqlite"))
  const database = yield* layerDatabase({
    ...settings,
    writeUrl: settings.writeUrl || readUrl,
    queryUrl: settings.queryUrl || (settings.writeUrl === "" ? readUrl : "")
  })
  // Built in the caller's scope: the connections outlive this function.
  return yield* makeVictoriaMetricsDataset.pipe(Effect.provide(yield* Layer.build(database)))
})

/** `model.pkl` → its directory, and the names of what is written there. */
const outputFiles = Effect.fn("train.outputFiles")(function* (file: string) {
  const path = yield* Path.Path
  const name = path.basename(file)
  const stem = name.replace(/\.pkl$/, "")
  return {
    directory: path.dirname(path.resolve(file)),
    pickle: name,
    json: `${stem}.json`,
    metadata: `${stem}_metadata.json`
  }
})

const positive = (option: string, value: number) =>
  value >= 1 ? Effect.void : new SettingInvalid({ setting: option, reason: "must be a whole number from 1" })

export const train = Command.make(
  "train",
  { model, from, days, minInstallations, minPoints, output, seed, quiet, json, dataDir },
  (options) =>
    Effect.gen(function* () {
      const path = yield* Path.Path
      if (!isModelName(options.model)) {
        return yield* new SettingInvalid({
          setting: "--model",
          reason: "is not a name that a heat pump model can have"
        })
      }
      yield* positive(
        "--days",
        Option.getOrElse(options.days, () => 1)
      )
      yield* positive("--min-installations", options.minInstallations)
      const modelDir = (yield* Settings.modelDir) || path.join(options.dataDir, "models")
      const file = Option.getOrElse(options.output, () => path.join(modelDir, `${canonicalModel(options.model)}.pkl`))
      const files = yield* outputFiles(file)
      yield* checkOutput(files.directory, files.pickle)

      const dataset: Dataset = yield* openDataset(options.from, options.dataDir)
      const { retention } = yield* Settings.limits
      const nowMs = yield* Clock.currentTimeMillis
      const newestMs = dataset.newestMs ?? nowMs
      const retained = Math.min(mostDays, Duration.toDays(retention))
      const days = Option.getOrElse(options.days, () => (dataset.newestMs === undefined ? retained : undefined))
      const trainOptions = {
        ...options,
        range: {
          fromMs: days === undefined ? 0 : Math.max(0, newestMs - Duration.toMillis(Duration.days(days))),
          untilMs: newestMs + aheadMs
        },
        days
      }
      const progress = options.quiet ? noProgress : yield* trainingProgress
      const trained = yield* trainModel(dataset, trainOptions, progress.report).pipe(
        Effect.ensuring(progress.end),
        Effect.catchTag("NotEnoughData", ({ message }) => new ProgramFailure({ code: ExitCode.notEnoughData, message }))
      )

      const pickle = writeModel(trained.model)
      const createdMs = yield* Clock.currentTimeMillis
      const metadata = metadataOf(trained, trainOptions, { source: dataset.source, version, createdMs, pickle })
      yield* writeOutput(files.directory, [
        { name: files.json, content: modelJson(trained.model) },
        { name: files.metadata, content: `${JSON.stringify(metadata, null, 2)}\n` },
        { name: files.pickle, content: pickle }
      ])

      const summaryFile = yield* Settings.stepSummaryFile
      if (summaryFile !== "") {
        const fs = yield* FileSystem.FileSystem
        yield* fs
          .writeFileString(summaryFile, summaryMarkdown(metadata), { flag: "a" })
          .pipe(Effect.catchAll((error) => Effect.logWarning("cannot write the step's summary", error)))
      }
      const written = path.join(files.directory, files.pickle)
      yield* Console.log(
        options.json
          ? JSON.stringify({ output: written, bytes: pickle.length, ...metadata }, null, 2)
          : [...summaryLines(metadata), ["Written", `${written}, ${(pickle.length / 1e6).toFixed(1)} MB`] as const]
              .map(([name, text]) => `${name.padEnd(10)}${text}`)
              .join("\n")
      )
    }).pipe(Effect.scoped)
).pipe(
  Command.withDescription(
    'Train a model of one heat pump type from the pooled data. Example: telemetry train --model "AERO SLM" --output model.pkl'
  )
)
