import { FileSystem, Path } from "@effect/platform"
import { Effect } from "effect"
import * as Settings from "../src/Settings.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"

/** Where models lie: `MODEL_DIR`, or a directory of `DATA_DIR`. */
export const modelDirOf = Effect.fn("modelDirOf")(function* (dataDir: string) {
  const path = yield* Path.Path
  return (yield* Settings.modelDir) || path.join(dataDir, "models")
})

/** For who makes nothing there. It may be missing while nothing is trained yet; its parent too only if it is mistyped. */
export const modelDirToRead = Effect.fn("modelDirOf.modelDirToRead")(function* (dataDir: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = yield* modelDirOf(dataDir)
  const parent = path.dirname(directory)
  if ((yield* fs.exists(directory)) || (yield* fs.exists(parent))) return directory
  const message = `there is no directory ${parent}; see --data-dir (DATA_DIR) and MODEL_DIR`
  return yield* new ProgramFailure({ code: ExitCode.failed, message })
})
