import { Options } from "@effect/cli"
import * as Settings from "../src/Settings.js"

/** The option of every command that works on the data, or finds its token there. */
export const dataDir = Options.directory("data-dir").pipe(
  Options.withDescription("Directory of the store and the generated token (DATA_DIR)"),
  Options.withFallbackConfig(Settings.dataDir)
)
