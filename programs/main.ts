#!/usr/bin/env node
import { CliConfig, Command } from "@effect/cli"
import { NodeContext, NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Cause, Console, Effect, Layer } from "effect"
import { layerLogging } from "../src/observability/Logging.js"
import { layerEnvironment } from "../src/Settings.js"
import { exitCodeOf, isUsageError } from "./ExitCode.js"
import { serve } from "./serve.js"
import { status } from "./status.js"
import { version } from "./version.js"

const root = Command.make("telemetry").pipe(
  Command.withDescription("Receives, keeps and uses the telemetry of heat pumps."),
  Command.withSubcommands([serve, status])
)

const run = Command.run(root, { name: "telemetry", version, executable: "telemetry" })

/** One sentence for an expected failure; everything for a mistake of ours. */
const report = (cause: Cause.Cause<unknown>) => {
  if (isUsageError(cause) || Cause.isInterruptedOnly(cause)) return Effect.void
  const error = Cause.squash(cause)
  return Cause.isFailure(cause) && error instanceof Error
    ? Console.error(`error: ${error.message}`)
    : Effect.logFatal("BUG: the program ended unexpectedly", cause)
}

run(process.argv).pipe(
  Effect.tapErrorCause(report),
  Effect.provide(
    Layer.mergeAll(
      NodeContext.layer,
      NodeHttpClient.layer,
      CliConfig.layer({ showBuiltIns: false }),
      layerLogging
    ).pipe(Layer.provideMerge(layerEnvironment))
  ),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    disablePrettyLogger: true,
    teardown: (exit, onExit) => onExit(exitCodeOf(exit))
  })
)
