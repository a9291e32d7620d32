import { Effect, Option } from "effect"
import { passGate } from "../src/artifact/Gate.js"
import { publish } from "../src/artifact/Publish.js"
import { communityModel } from "../src/artifact/Registry.js"
import { readTrainedFiles } from "../src/artifact/TrainedFiles.js"
import { modelKeys } from "../src/ModelKeys.js"
import { SettingInvalid } from "../src/Secrets.js"
import * as Settings from "../src/Settings.js"
import { checkedModel } from "./checkedModel.js"

/** A `model.pkl` through the gate and into the registry: what it is published as now, the community's model last. */
export const publishTrained = Effect.fn("publishTrained")(function* (
  file: string,
  options: {
    /** None: what its metadata say. */
    readonly model: Option.Option<string>
    readonly directory: string
    readonly isGated: boolean
    readonly asCommunity: boolean
  }
) {
  const keys = yield* modelKeys
  const keep = yield* Settings.modelKeep
  const trained = yield* readTrainedFiles(file)
  const named = Option.orElse(options.model, () => trained.model)
  if (Option.isNone(named)) {
    return yield* new SettingInvalid({ setting: "--model", reason: "is missing, and no metadata name the model" })
  }
  const model = yield* checkedModel("--model", named.value)
  const gate = yield* passGate(model, trained.verdict, { isGated: options.isGated })
  return yield* Effect.forEach(options.asCommunity ? [model, communityModel] : [model], (name) =>
    publish({ ...trained, name, gate }, { directory: options.directory, keep, keys })
  )
})
