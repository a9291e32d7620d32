import { Cause, Effect, HashMap, Layer, Logger, Predicate } from "effect"
import * as Settings from "../Settings.js"

const isFields = (part: unknown): part is Readonly<Record<string, unknown>> =>
  Predicate.isRecord(part) && !isError(part)

const isError = (part: unknown): part is Error => part instanceof Error

/**
 * One flat JSON object per line, as log collectors expect it: time, level, the words of the message, then the fields of
 * objects logged with it and the annotations. Redacted values stay so.
 */
const formatJson = Logger.make<unknown, string>(({ annotations, cause, date, logLevel, message }) => {
  const parts = Array.isArray(message) ? message : [message]
  const words = parts.filter((part) => !isFields(part)).map((part) => (isError(part) ? part.message : String(part)))
  const line: Record<string, unknown> = {
    timestamp: date.toISOString(),
    level: logLevel.label.toLowerCase(),
    message: words.join(": ")
  }
  for (const part of parts) if (isFields(part)) Object.assign(line, part)
  for (const [key, value] of HashMap.entries(annotations)) line[key] = value
  if (!Cause.isEmpty(cause)) line.cause = Cause.pretty(cause, { renderErrorCause: true })
  return JSON.stringify(line)
})

const toStderr = Logger.map(formatJson, (line) => {
  process.stderr.write(`${line}\n`)
})

/** Logs go to stderr: stdout belongs to a command's result. Colours only on a terminal, and not with `NO_COLOR`. */
export const layerLogging = Layer.unwrapEffect(
  Effect.gen(function* () {
    // Whoever read them has gone, or the disk that they went to is full: no reason to end with them.
    process.stderr.on("error", () => {})
    const level = yield* Settings.logLevel
    const format = yield* Settings.logFormat
    const isPretty = format === "pretty" || (format === "auto" && process.stderr.isTTY)
    const logger = isPretty
      ? Logger.prettyLogger({ stderr: true, colors: process.stderr.isTTY && process.stderr.hasColors() })
      : toStderr
    return Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(level))
  })
)
