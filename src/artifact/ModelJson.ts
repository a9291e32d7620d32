/**
 * `model.json`: the same model as `model.pkl` for readers without Python. Its `modes` are the pipelines exactly as
 * `RiverPipeline` describes them; its numbers are the same doubles, written so that they read back unchanged.
 */
import type { Model } from "./RiverPipeline.js"
import { riverVersion } from "./riverVersion.js"

/** Raised when a reader of the previous version would misunderstand the file. */
const version = 1

export const modelJson = (model: Model): string =>
  `${JSON.stringify({ format: "heatpump-telemetry model", version, river: riverVersion, modes: model })}\n`
