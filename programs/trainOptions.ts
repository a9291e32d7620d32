import { Options } from "@effect/cli"
import { Effect, Option } from "effect"
import { SettingInvalid } from "../src/Secrets.js"
import * as Settings from "../src/Settings.js"
import { checkedModel } from "./checkedModel.js"
import { dataDir } from "./dataDir.js"

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
/** Two options, because the negation of one has the same help. */
const noGate = Options.all({
  no: Options.boolean("no-gate").pipe(
    Options.withDescription("Write the model even if it fails a criterion, and say so in its card")
  ),
  yes: Options.boolean("gate").pipe(Options.withDescription("Refuse a model that fails a criterion; the default"))
}).pipe(Options.map(({ no, yes }) => no && !yes))
const champion = Options.text("champion").pipe(
  Options.withDescription(
    "Model file that the new one must not be worse than; by default what is published with --publish, else --output"
  ),
  Options.optional
)
const evaluateOnly = Options.boolean("evaluate-only").pipe(
  Options.withDescription("Train nothing: judge the champion on the data that there are")
)
const quiet = Options.boolean("quiet").pipe(Options.withAlias("q"), Options.withDescription("Show no progress"))
const json = Options.boolean("json").pipe(Options.withDescription("Print the result as JSON"))

const everyDayAt = Options.text("every-day-at").pipe(
  Options.withDescription("With --all: wait for this time of day, run, and wait again (TRAINING_TIME)"),
  Options.withFallbackConfig(Settings.trainingTime)
)

export const trainOptions = {
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
}

interface Given {
  readonly model: Option.Option<string>
  readonly from: Option.Option<string>
  readonly days: Option.Option<number>
  readonly output: Option.Option<string>
  readonly champion: Option.Option<string>
  readonly minInstallations: number
  readonly evaluateOnly: boolean
  readonly json: boolean
}

const positive = (option: string, value: number) =>
  value >= 1 ? Effect.void : new SettingInvalid({ setting: option, reason: "must be at least 1" })

/** Refuses what a training of all models would leave unheard. */
export const optionsOfAll = (options: Given) => {
  const { champion, days, evaluateOnly, from, json, model, output } = options
  const isGiven = {
    "--model": Option.isSome(model),
    "--from": Option.isSome(from),
    "--days": Option.isSome(days),
    "--output": Option.isSome(output),
    "--champion": Option.isSome(champion),
    "--evaluate-only": evaluateOnly,
    "--json": json
  }
  const stray = Object.entries(isGiven).find(([, given]) => given)
  return stray === undefined
    ? Effect.void
    : new SettingInvalid({ setting: stray[0], reason: "is for one model, and does not go with --all" })
}

/** The model to train, when all that belongs to it can be. */
export const optionsOfOne = Effect.fn("trainOptions.optionsOfOne")(function* (options: Given) {
  if (Option.isNone(options.model)) {
    return yield* new SettingInvalid({ setting: "--model", reason: "is missing; or train every model with --all" })
  }
  const model = yield* checkedModel("--model", options.model.value)
  yield* positive(
    "--days",
    Option.getOrElse(options.days, () => 1)
  )
  yield* positive("--min-installations", options.minInstallations)
  return model
})
