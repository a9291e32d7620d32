import { Effect } from "effect"
import { passGate } from "../src/artifact/Gate.js"
import { publish } from "../src/artifact/Publish.js"
import { communityModel } from "../src/artifact/Registry.js"
import { readTrainedFiles } from "../src/artifact/TrainedFiles.js"
import { modelKeys } from "../src/ModelKeys.js"
import * as Settings from "../src/Settings.js"

/** Through the gate and into the registry: the version that it got. */
export const publishTrained = Effect.fn("publishTrained")(function* (
  model: string,
  file: string,
  options: { readonly directory: string; readonly isGated: boolean; readonly asCommunity: boolean }
) {
  const keys = yield* modelKeys
  const keep = yield* Settings.modelKeep
  const trained = yield* readTrainedFiles(file)
  const gate = yield* passGate(model, trained.verdict, { isGated: options.isGated })
  const registry = { directory: options.directory, keep, keys }
  const { version } = yield* publish({ ...trained, name: model, gate }, registry)
  if (options.asCommunity) yield* publish({ ...trained, name: communityModel, gate }, registry)
  return version
})
