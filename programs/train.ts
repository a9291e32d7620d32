import { Command } from "@effect/cli"
import { FileSystem, Path } from "@effect/platform"
import { Clock, Console, Duration, Effect, Option } from "effect"
import { modelJson } from "../src/artifact/ModelJson.js"
import { checkOutput, writeOutput } from "../src/artifact/ModelOutput.js"
import { writeModel } from "../src/artifact/RiverPickle.js"
import { riverVersion } from "../src/artifact/riverVersion.js"
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
import {
  dataFacts,
  dataLines,
  judgementLines,
  type Line,
  metadataOf,
  summaryMarkdown,
  trainingLines
} from "../src/training/TrainingReport.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { fromHere } from "./fromHere.js"
import { inBytes } from "./inBytes.js"
import { modelDirOf } from "./modelDirOf.js"
import { checkSource, openDataset } from "./openDataset.js"
import { publishTrained } from "./publishTrained.js"
import { noProgress, trainingProgress } from "./TrainingProgress.js"
import { trainAll } from "./trainAll.js"
import { addToStepSummary, type Outcome, outputFiles, readChampion, readPublished } from "./trainFiles.js"
import { optionsOfAll, optionsOfOne, trainOptions } from "./trainOptions.js"
import { version } from "./version.js"

/** Loggers' clocks may be ahead by that much. */
const aheadMs = Duration.toMillis("1 day")
const mostDays = 365

export const train = Command.make("train", trainOptions, (options) =>
  Effect.gen(function* () {
    const path = yield* Path.Path
    if (options.publish) yield* modelKeys
    if (options.all) {
      yield* optionsOfAll(options)
      return yield* trainAll(options)
    }
    const model = yield* optionsOfOne(options)
    const modelDir = yield* modelDirOf(options.dataDir)
    const file = Option.getOrElse(options.output, () => path.join(modelDir, `${canonicalModel(model)}.pkl`))
    const files = yield* outputFiles(file)
    yield* checkSource(options.from, options.dataDir)
    yield* checkOutput(files.directory, files.pickle)

    const dataset: Dataset = yield* openDataset(options.from, options.dataDir)
    const { retention } = yield* Settings.limits
    const nowMs = yield* Clock.currentTimeMillis
    const newestMs = dataset.newestMs ?? nowMs
    const retained = Math.min(mostDays, Duration.toDays(retention))
    const days = Option.getOrElse(options.days, () => (dataset.newestMs === undefined ? retained : undefined))
    const fleetOptions = {
      ...options,
      model,
      range: {
        fromMs: days === undefined ? 0 : Math.max(0, newestMs - Duration.toMillis(Duration.days(days))),
        untilMs: newestMs + aheadMs
      },
      days
    }
    const champion = yield* options.publish && Option.isNone(options.champion)
      ? readPublished(model, modelDir)
      : readChampion(options.champion, file)
    if (options.evaluateOnly && champion === undefined) {
      const reason = `there is no model ${options.publish ? "published" : `at ${file}`} to judge`
      return yield* new SettingInvalid({ setting: "--champion", reason })
    }
    const name = canonicalModel(model)
    const progress = options.quiet ? noProgress : yield* trainingProgress
    const judgement = yield* judge(
      dataset,
      fleetOptions,
      { champion: champion?.model, evaluateOnly: options.evaluateOnly },
      progress.report
    ).pipe(
      Effect.ensuring(progress.end),
      Effect.catchTag("NotEnoughData", ({ message }) =>
        Effect.gen(function* () {
          yield* addToStepSummary(summaryMarkdown(`No model of ${name}`, [["Missing", message]]))
          if (options.json) {
            const result = { output: null, failed_criteria: [message], warnings: [], model: name, data: null }
            yield* Console.log(JSON.stringify(result, null, 2))
          }
          return yield* new ProgramFailure({ code: ExitCode.notEnoughData, message })
        })
      )
    )
    const trained = trainedOf(judgement)
    const judged = options.evaluateOnly ? champion!.model : trained.model
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
    const outcome: Outcome = options.evaluateOnly
      ? "judged"
      : failed.length > 0 && !options.noGate
        ? "refused"
        : "written"
    const about = { model: name, seed: options.seed, versions: { telemetry: version, river: riverVersion } }
    // Its plots' library takes a second to load, which only this program should pay.
    const { modelCard } = yield* Effect.promise(() => import("../src/training/ModelCard.js"))
    const card = modelCard({
      ...about,
      judgement,
      evaluation: judgement.evaluations[0]!,
      failedCriteria: failed,
      isGated: !options.noGate
    })
    const createdMs = yield* Clock.currentTimeMillis
    const metadata = metadataOf(trained, fleetOptions, { source: dataset.source, version, createdMs, pickle })
    yield* writeOutput(files.directory, [
      { name: `${files.card(outcome)}.md`, content: card.markdown },
      { name: `${files.card(outcome)}.html`, content: card.html },
      { name: files.metrics(outcome), content: metricsJson(judgement, failed, about) },
      ...(outcome === "written"
        ? [
            { name: files.json, content: modelJson(trained.model) },
            {
              name: files.homes,
              content: `${JSON.stringify(trainedHomes(name, pickle, trained.sample.installations), null, 2)}\n`,
              isPrivate: true
            },
            { name: files.metadata, content: `${JSON.stringify(metadata, null, 2)}\n` },
            { name: files.pickle, content: pickle }
          ]
        : [])
    ])
    const cardFile = path.join(files.directory, files.card(outcome))
    const isWritten = outcome === "written"
    if (options.publish && isWritten) {
      yield* publishTrained(path.join(files.directory, files.pickle), {
        model: Option.some(model),
        directory: modelDir,
        isGated: !options.noGate,
        asCommunity: false
      })
    }
    const output = isWritten ? path.join(files.directory, files.pickle) : `${cardFile}.html`
    const dataRead = dataFacts(judgement.sample, dataset.source)
    const lines = [
      ...dataLines(name, dataRead),
      ...(outcome === "judged" ? [] : trainingLines(metadata)),
      ...judgementLines(judgement, failed)
    ]
    const titles = { written: "Trained", refused: "Refused", judged: "Judged" } as const
    yield* addToStepSummary(
      summaryMarkdown(`${titles[outcome]} ${name}`, [
        ...lines,
        ["Seed", String(options.seed)],
        ...(isWritten ? [["SHA-256", `\`${metadata.sha256}\``] as const] : [])
      ])
    )
    const result = {
      output,
      failed_criteria: failed,
      warnings: judgement.training.warnings,
      ...(isWritten ? { bytes: pickle.length, ...metadata } : { model: name, data: dataRead })
    }
    if (options.json) yield* Console.log(JSON.stringify(result, null, 2))
    if (outcome === "refused") {
      const fs = yield* FileSystem.FileSystem
      const left =
        champion?.version !== undefined
          ? `version ${champion.version} stays published`
          : (yield* fs.exists(file))
            ? `the model at ${file} stays`
            : "no model was written"
      return yield* new ProgramFailure({
        code: ExitCode.notEnoughData,
        message: `the model was refused and ${left} (see ${fromHere(`${cardFile}.md`)}): ${failed.join("; ")}`
      })
    }
    if (options.json) return
    const written: Line = ["Written", `${fromHere(output)}${isWritten ? `, ${inBytes(pickle.length)}` : ""}`]
    yield* Console.log([...lines, written].map(([label, text]) => `${label.padEnd(10)}${text}`).join("\n"))
  }).pipe(Effect.scoped, Effect.withSpan("train"), Effect.provide(layerTracing(version)))
).pipe(
  Command.withDescription(
    'Train a model of one heat pump type from the pooled data, or of all. Examples: telemetry train --model "AERO SLM" --output model.pkl; telemetry train --all --publish --every-day-at 03:00'
  )
)
