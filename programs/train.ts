import { Command, Options } from "@effect/cli"
import { FileSystem, Path } from "@effect/platform"
import { Clock, Console, Duration, Effect, Option } from "effect"
import { modelJson } from "../src/artifact/ModelJson.js"
import { checkOutput, writeOutput } from "../src/artifact/ModelOutput.js"
import { writeModel } from "../src/artifact/RiverPickle.js"
import { trainedHomes } from "../src/artifact/TrainedHomes.js"
import { canonicalModel } from "../src/domain/ModelName.js"
import { modelKeys } from "../src/ModelKeys.js"
import { layerTracing } from "../src/observability/Tracing.js"
import { SettingInvalid } from "../src/Secrets.js"
import * as Settings from "../src/Settings.js"
import type { Dataset } from "../src/training/Dataset.js"
import { fileDifference } from "../src/training/FileCheck.js"
import { failedCriteria } from "../src/training/Gate.js"
import { judge, trainedOf } from "../src/training/Judgement.js"
import { metricsJson } from "../src/training/Metrics.js"
import { metadataOf, summaryLines, summaryMarkdown } from "../src/training/TrainingReport.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { inBytes } from "./inBytes.js"
import { modelDirOf } from "./modelDirOf.js"
import { checkedModel } from "./models.js"
import { openDataset } from "./openDataset.js"
import { publishTrained } from "./publishTrained.js"
import { dataDir } from "./serve.js"
import { noProgress, trainingProgress } from "./TrainingProgress.js"
import { everyDayAt, trainAll } from "./trainAll.js"
import { outputFiles, readChampion } from "./trainFiles.js"
import { version } from "./version.js"

const model = Options.text("model").pipe(
  Options.withDescription("Heat pump model to train; a space and an underscore mean the same"),
  Options.optional
)
const all = Options.boolean("all").pipe(
  Options.withDescription("Train every model with enough data, or those of TARGET_MODELS, one after the other")
)
const publish = Options.boolean("publish").pipe(
  Options.withDescription("Publish what passes the gate, for loggers to download (TELEMETRY_ENCRYPTION_KEY)")
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
const noGate = Options.boolean("no-gate", { negationNames: ["gate"] }).pipe(
  Options.withDescription("Write the model even if it fails a criterion, and say so in its card; --gate is the default")
)
const champion = Options.text("champion").pipe(
  Options.withDescription("Model file that the new one must not be worse than; the one at --output by default"),
  Options.optional
)
const evaluateOnly = Options.boolean("evaluate-only").pipe(
  Options.withDescription("Train nothing: judge the champion on the data that there are")
)
const quiet = Options.boolean("quiet").pipe(Options.withAlias("q"), Options.withDescription("Show no progress"))
const json = Options.boolean("json").pipe(Options.withDescription("Print the result as JSON"))

/** Loggers' clocks may be ahead by that much. */
const aheadMs = Duration.toMillis("1 day")
const mostDays = 365

const positive = (option: string, value: number) =>
  value >= 1 ? Effect.void : new SettingInvalid({ setting: option, reason: "must be a whole number from 1" })

export const train = Command.make(
  "train",
  {
    model,
    all,
    everyDayAt,
    publish,
    from,
    days,
    minInstallations,
    minPoints,
    output,
    seed,
    noGate,
    champion,
    evaluateOnly,
    quiet,
    json,
    dataDir
  },
  (options) =>
    Effect.gen(function* () {
      const path = yield* Path.Path
      if (options.publish) yield* modelKeys
      if (options.all) return yield* trainAll(options)
      if (Option.isNone(options.model)) {
        return yield* new SettingInvalid({ setting: "--model", reason: "is missing; or train every model with --all" })
      }
      const model = yield* checkedModel("--model", options.model.value)
      yield* positive(
        "--days",
        Option.getOrElse(options.days, () => 1)
      )
      yield* positive("--min-installations", options.minInstallations)
      const modelDir = yield* modelDirOf(options.dataDir)
      const file = Option.getOrElse(options.output, () => path.join(modelDir, `${canonicalModel(model)}.pkl`))
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
        model,
        range: {
          fromMs: days === undefined ? 0 : Math.max(0, newestMs - Duration.toMillis(Duration.days(days))),
          untilMs: newestMs + aheadMs
        },
        days
      }
      const champion = yield* readChampion(options.champion, file)
      if (options.evaluateOnly && champion === undefined) {
        return yield* new SettingInvalid({ setting: "--champion", reason: `there is no model at ${file} to judge` })
      }
      const progress = options.quiet ? noProgress : yield* trainingProgress
      const judgement = yield* judge(
        dataset,
        trainOptions,
        { champion, evaluateOnly: options.evaluateOnly },
        progress.report
      ).pipe(
        Effect.ensuring(progress.end),
        Effect.catchTag("NotEnoughData", ({ message }) => new ProgramFailure({ code: ExitCode.notEnoughData, message }))
      )
      const trained = trainedOf(judgement)
      const judged = options.evaluateOnly ? champion! : trained.model
      const pickle = writeModel(judged)
      const failed = failedCriteria({
        challenger: judgement.evaluations[0]!,
        model: judged,
        champion: options.evaluateOnly ? undefined : judgement.champion,
        meanAbsoluteZ: judgement.meanAbsoluteZ,
        installations: trained.sample.installations.length,
        minInstallations: options.minInstallations,
        points: trained.sample.recordsByMode.reduce((sum, n) => sum + n, 0),
        minPoints: options.minPoints,
        fileDifference: fileDifference(judged, pickle, options.seed)
      })
      const isRefused = failed.length > 0 && !options.noGate && !options.evaluateOnly
      const versions = { telemetry: version, river: "0.23.0" }
      const name = canonicalModel(model)
      // Its plots' library takes a second to load, which only this program should pay.
      const { modelCard } = yield* Effect.promise(() => import("../src/training/ModelCard.js"))
      const card = modelCard({
        model: name,
        judgement,
        evaluation: judgement.evaluations[0]!,
        failedCriteria: failed,
        isGated: !options.noGate,
        seed: options.seed,
        versions
      })
      const createdMs = yield* Clock.currentTimeMillis
      const metadata = metadataOf(trained, trainOptions, { source: dataset.source, version, createdMs, pickle })
      yield* writeOutput(files.directory, [
        { name: `${files.card(isRefused)}.md`, content: card.markdown },
        { name: `${files.card(isRefused)}.html`, content: card.html },
        {
          name: files.metrics(isRefused),
          content: metricsJson(judgement, failed, { model: name, seed: options.seed, versions })
        },
        ...(isRefused || options.evaluateOnly
          ? []
          : [
              { name: files.json, content: modelJson(trained.model) },
              {
                name: files.homes,
                content: `${JSON.stringify(trainedHomes(name, pickle, trained.sample.installations), null, 2)}\n`,
                isPrivate: true
              },
              { name: files.metadata, content: `${JSON.stringify(metadata, null, 2)}\n` },
              { name: files.pickle, content: pickle }
            ])
      ])
      if (isRefused) {
        const left = champion === undefined ? "no model was written" : `the model at ${file} stays`
        return yield* new ProgramFailure({
          code: ExitCode.notEnoughData,
          message: `the model was refused and ${left} (see ${path.join(files.directory, `${files.card(true)}.md`)}): ${failed.join("; ")}`
        })
      }

      if (options.publish && !options.evaluateOnly) {
        yield* publishTrained(model, path.join(files.directory, files.pickle), {
          directory: modelDir,
          isGated: !options.noGate,
          asCommunity: false
        })
      }
      const summaryFile = yield* Settings.stepSummaryFile
      if (summaryFile !== "") {
        const fs = yield* FileSystem.FileSystem
        yield* fs
          .writeFileString(summaryFile, summaryMarkdown(metadata), { flag: "a" })
          .pipe(Effect.catchAll((error) => Effect.logWarning("cannot write the step's summary", error)))
      }
      const { overall } = judgement.evaluations[0]!
      const judgedLines: ReadonlyArray<readonly [string, string]> = [
        [
          "Judged",
          `${(overall.caught.share.value * 100).toFixed(0)} % of ${overall.caught.episodes} faults noticed, ${overall.falseAlarmsPerWeek.value.toFixed(2)} false alarms per installation-week, on ${judgement.evaluations[0]!.installations} heat pumps not fitted`
        ],
        ...failed.map((criterion) => ["Fails", criterion] as const),
        ...judgement.training.warnings.map((warning) => ["Note", warning] as const)
      ]
      const written = path.join(files.directory, options.evaluateOnly ? `${files.card(false)}.html` : files.pickle)
      const size = options.evaluateOnly ? "" : `, ${inBytes(pickle.length)}`
      yield* Console.log(
        options.json
          ? JSON.stringify(
              {
                output: written,
                bytes: pickle.length,
                failed_criteria: failed,
                warnings: judgement.training.warnings,
                ...metadata
              },
              null,
              2
            )
          : [
              ...(options.evaluateOnly ? [] : summaryLines(metadata)),
              ...judgedLines,
              ["Written", `${written}${size}`] as const
            ]
              .map(([label, text]) => `${label.padEnd(10)}${text}`)
              .join("\n")
      )
    }).pipe(Effect.scoped, Effect.withSpan("train"), Effect.provide(layerTracing(version)))
).pipe(
  Command.withDescription(
    'Train a model of one heat pump type from the pooled data, or of all. Examples: telemetry train --model "AERO SLM" --output model.pkl; telemetry train --all --publish --every-day-at 03:00'
  )
)
