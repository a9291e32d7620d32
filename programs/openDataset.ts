import { Path } from "@effect/platform"
import { Effect, Layer, Option } from "effect"
import * as Settings from "../src/Settings.js"
import { openEmbeddedDataset } from "../src/training/EmbeddedDataset.js"
import { openFileDataset } from "../src/training/FileDataset.js"
import { makeVictoriaMetricsDataset } from "../src/training/VictoriaMetricsDataset.js"
import { layerDatabase } from "./store.js"

/** An export, else VictoriaMetrics where the settings name one, else the embedded store. */
export const openDataset = Effect.fn("openDataset")(function* (from: Option.Option<string>, dataDir: string) {
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
