#!/usr/bin/env node
import { CliConfig, Command } from "@effect/cli"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Effect, Layer, MutableRef, Option } from "effect"
import { layerLogging } from "../src/observability/Logging.js"
import { layerEnvironment } from "../src/Settings.js"
import { backup } from "./backup.js"
import { doctor } from "./doctor.js"
import { ExitCode, exitCodeOf, isPrinted, RunsUntilStopped, sentenceOf } from "./ExitCode.js"
import { erase } from "./erase.js"
import { exportHome } from "./export.js"
import { healthcheck } from "./healthcheck.js"
import { installations } from "./installations.js"
import { keygen } from "./keygen.js"
import { models } from "./models.js"
import { overview } from "./overview.js"
import { resend } from "./resend.js"
import { restore } from "./restore.js"
import { serve } from "./serve.js"
import { status } from "./status.js"
import { train } from "./train.js"
import { version } from "./version.js"
import { withFittingColours } from "./withFittingColours.js"

const root = Command.make("telemetry", {}, () => Console.log(overview)).pipe(
  Command.withDescription("Receives, keeps and uses the telemetry of heat pumps."),
  Command.withSubcommands([
    serve,
    status,
    train,
    models,
    keygen,
    installations,
    exportHome,
    erase,
    resend,
    backup,
    restore,
    doctor,
    healthcheck
  ])
)

const run = Command.run(root, { name: "telemetry", version, executable: "telemetry" })

/** Reports a failure once: a sentence for an expected one, everything for a mistake of ours. */
const report = (cause: Cause.Cause<unknown>) => {
  const failure = Option.getOrUndefined(Cause.failureOption(cause))
  if (isPrinted(failure) || Cause.isInterruptedOnly(cause)) return Effect.void
  const sentence = sentenceOf(failure)
  return sentence === undefined
    ? Effect.logFatal("BUG: the program ended unexpectedly", cause)
    : Console.error(`error: ${sentence}`)
}

const isServing = process.argv[2] === "serve"
const runsUntilStopped = MutableRef.make(false)
let isTerminated = false
process.once("SIGTERM", () => {
  isTerminated = true
})
/** A server is also stopped at its terminal; of what else runs for ever, a supervisor's SIGTERM is the ordinary end. */
const codeWhenInterrupted = () =>
  isServing || (isTerminated && MutableRef.get(runsUntilStopped)) ? ExitCode.done : ExitCode.interrupted
const asksForHelp = process.argv.length === 3 && ["--help", "-h"].includes(process.argv[2]!)

run(asksForHelp ? process.argv.slice(0, 2) : process.argv).pipe(
  Effect.provide(
    Layer.mergeAll(
      NodeContext.layer,
      NodeHttpClient.layer,
      CliConfig.layer({ showBuiltIns: false }),
      layerLogging
    ).pipe(Layer.provideMerge(layerEnvironment))
  ),
  Effect.tapErrorCause(report),
  Effect.provideService(RunsUntilStopped, runsUntilStopped),
  withFittingColours,
  NodeRuntime.runMain({
    disableErrorReporting: true,
    disablePrettyLogger: true,
    teardown: (exit, onExit) => onExit(exitCodeOf(exit, codeWhenInterrupted()))
  })
)
