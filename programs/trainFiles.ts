import { FileSystem, Path } from "@effect/platform"
import { Effect, Option } from "effect"
import { openModel } from "../src/artifact/Envelope.js"
import { readModelFile } from "../src/artifact/ModelFile.js"
import { Registry } from "../src/artifact/Registry.js"
import type { Model } from "../src/artifact/RiverPipeline.js"
import { readModel } from "../src/artifact/RiverReader.js"
import { homesSuffix } from "../src/artifact/TrainedHomes.js"
import { canonicalModel } from "../src/domain/ModelName.js"
import { modelKeys } from "../src/ModelKeys.js"
import { SettingInvalid } from "../src/Secrets.js"
import * as Settings from "../src/Settings.js"

/** What becomes of a model: a champion that is judged alone is neither written nor refused. */
export type Outcome = "written" | "refused" | "judged"

/** `model.pkl` → its directory, and the names of what is written there. */
export const outputFiles = Effect.fn("trainFiles.outputFiles")(function* (file: string) {
  const path = yield* Path.Path
  const name = path.basename(file)
  const stem = name.replace(/\.pkl$/, "")
  return {
    directory: path.dirname(path.resolve(file)),
    pickle: name,
    json: `${stem}.json`,
    metadata: `${stem}_metadata.json`,
    homes: `${stem}${homesSuffix}`,
    // What a refused or a judged model comes to leaves the champion's files alone.
    card: (outcome: Outcome) => `${stem}${outcome === "written" ? "" : `_${outcome}`}_card`,
    metrics: (outcome: Outcome) =>
      `${outcome !== "written" ? `${stem}_${outcome}_` : stem === "model" ? "" : `${stem}_`}metrics.json`
  }
})

interface Champion {
  readonly model: Model
  /** Of a published one. */
  readonly version?: string
}

/**
 * The version that clients have now, whatever lies in other files: after a rollback, the one gone back to. None when
 * it cannot be opened: whoever has the key of today cannot use it either, and so there is nothing to lose.
 */
export const readPublished = Effect.fn("trainFiles.readPublished")(function* (model: string, modelDir: string) {
  const fs = yield* FileSystem.FileSystem
  const { encryption } = yield* modelKeys
  const name = canonicalModel(model)
  return yield* Effect.gen(function* () {
    const registry = yield* Registry.pipe(Effect.provide(Registry.layer(modelDir)))
    const published = yield* registry.published(name)
    if (Option.isNone(published)) return undefined
    const { file, filename, manifest } = published.value
    const { pickle } = yield* openModel(yield* fs.readFileString(file), encryption)
    const champion: Champion = { model: yield* readModel(pickle), version: manifest?.version ?? filename }
    return champion
  }).pipe(
    Effect.catchAll(({ message }) =>
      Effect.as(
        Effect.logWarning(`what is published of ${name} will be replaced without a comparison: ${message}`),
        undefined
      )
    )
  )
})

/** A model file of this program; none when there is no such file and nobody asked for it. */
export const readChampion = Effect.fn("trainFiles.readChampion")(function* (
  asked: Option.Option<string>,
  output: string
) {
  const fs = yield* FileSystem.FileSystem
  const file = Option.getOrElse(asked, () => output)
  const unreadable = (reason: string) =>
    new SettingInvalid({ setting: "--champion", reason: `${file} cannot be compared with: ${reason}` })
  if (Option.isNone(asked) && !(yield* fs.exists(file))) return undefined
  return yield* readModelFile(file).pipe(
    Effect.map(({ model }): Champion | undefined => ({ model })),
    Effect.mapError(({ message }) => unreadable(message)),
    Effect.catchAll((error) =>
      // What lies at --output by chance, a model of another program say, is no champion.
      Option.isSome(asked)
        ? Effect.fail(error)
        : Effect.as(Effect.logWarning(`${file} will be replaced without a comparison: ${error.message}`), undefined)
    )
  )
})

/** Onto the page of the pipeline's run, where there is one. */
export const addToStepSummary = Effect.fn("trainFiles.addToStepSummary")(function* (markdown: string) {
  const file = yield* Settings.stepSummaryFile
  if (file === "") return
  const fs = yield* FileSystem.FileSystem
  yield* fs
    .writeFileString(file, markdown, { flag: "a" })
    .pipe(Effect.catchAll((error) => Effect.logWarning("cannot write the step's summary", error)))
})
