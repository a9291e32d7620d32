import { Effect, Layer, Logger } from "effect"
import * as Settings from "../Settings.js"

/** Logs go to stderr: stdout belongs to a command's result. Colours only on a terminal, and not with `NO_COLOR`. */
export const layerLogging = Layer.unwrapEffect(
  Effect.gen(function* () {
    const level = yield* Settings.logLevel
    const format = yield* Settings.logFormat
    const isPretty = format === "pretty" || (format === "auto" && process.stderr.isTTY)
    const logger = isPretty
      ? Logger.prettyLogger({ stderr: true, colors: process.stderr.isTTY && process.stderr.hasColors() })
      : Logger.withConsoleError(Logger.jsonLogger)
    return Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(level))
  })
)
