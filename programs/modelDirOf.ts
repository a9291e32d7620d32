import { Path } from "@effect/platform"
import { Effect } from "effect"
import * as Settings from "../src/Settings.js"

/** Where models lie: `MODEL_DIR`, or a directory of `DATA_DIR`. */
export const modelDirOf = Effect.fn("modelDirOf")(function* (dataDir: string) {
  const path = yield* Path.Path
  return (yield* Settings.modelDir) || path.join(dataDir, "models")
})
