import { FileSystem, Path } from "@effect/platform"
import { Effect, Option } from "effect"
import { readModelFile } from "../src/artifact/ModelFile.js"
import type { Model } from "../src/artifact/RiverPipeline.js"
import { homesSuffix } from "../src/artifact/TrainedHomes.js"
import { SettingInvalid } from "../src/Secrets.js"

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
    Effect.map(({ model }): Model | undefined => model),
    Effect.mapError(({ message }) => unreadable(message)),
    Effect.catchAll((error) =>
      // What lies at --output by chance, a model of another program say, is no champion.
      Option.isSome(asked)
        ? Effect.fail(error)
        : Effect.as(Effect.logWarning(`${file} will be replaced without a comparison: ${error.message}`), undefined)
    )
  )
})
