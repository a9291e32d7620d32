import { FileSystem, Path } from "@effect/platform"
import { type Config, Effect, Layer, Option } from "effect"
import * as Settings from "../src/Settings.js"
import { openEmbeddedDataset } from "../src/training/EmbeddedDataset.js"
import { openFileDataset } from "../src/training/FileDataset.js"
import { makeVictoriaMetricsDataset } from "../src/training/VictoriaMetricsDataset.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { layerDatabase } from "./store.js"

/** A step of a pipeline may know where to read, and not where to write. */
const readUrlOf = ({ exportUrl, queryUrl, writeUrl }: Config.Config.Success<typeof Settings.victoriaMetrics>) =>
  exportUrl || queryUrl || writeUrl

const storeOf = Effect.fnUntraced(function* (dataDir: string) {
  return (yield* Path.Path).join(dataDir, "telemetry.sqlite")
})

/** Before anything is made: of a mistyped directory none should come to be. */
export const checkSource = Effect.fn("openDataset.checkSource")(function* (
  from: Option.Option<string>,
  dataDir: string
) {
  const fs = yield* FileSystem.FileSystem
  if (Option.isNone(from) && readUrlOf(yield* Settings.victoriaMetrics) !== "") return
  if (yield* fs.exists(Option.isSome(from) ? from.value : yield* storeOf(dataDir))) return
  const message = Option.isSome(from)
    ? `there is no file ${from.value}; see --from`
    : `there is no store in ${dataDir}; see --data-dir (DATA_DIR)`
  return yield* new ProgramFailure({ code: ExitCode.failed, message })
})

/** An export, else VictoriaMetrics where the settings name one, else the embedded store. */
export const openDataset = Effect.fn("openDataset")(function* (from: Option.Option<string>, dataDir: string) {
  if (Option.isSome(from)) return yield* openFileDataset(from.value)
  const settings = yield* Settings.victoriaMetrics
  const readUrl = readUrlOf(settings)
  if (readUrl === "") return yield* openEmbeddedDataset(yield* storeOf(dataDir))
  const database = yield* layerDatabase({
    ...settings,
    writeUrl: settings.writeUrl || readUrl,
    queryUrl: settings.queryUrl || (settings.writeUrl === "" ? readUrl : "")
  })
  // Built in the caller's scope: the connections outlive this function.
  return yield* makeVictoriaMetricsDataset.pipe(Effect.provide(yield* Layer.build(database)))
})
