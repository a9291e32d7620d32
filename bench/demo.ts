/**
 * `npm run demo`: a server of its own with the data of a simulated fleet, to look at and to train on.
 *
 * The homes are those of the tests' simulator, with its gaps and glitches: January weather, moved by whole days so that
 * it ends at the last midnight. So every run has the same readings, and trains the same model, whatever the season. Of
 * 15 homes of 20 days twelve are fitted, which is enough for thresholds without widening (docs/model.md); here are 16.
 */
import { Command, Options } from "@effect/cli"
import {
  FileSystem,
  HttpClient,
  HttpClientRequest,
  HttpClientResponse,
  Path,
  Command as Process
} from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Clock, Console, Effect, Option, type Redacted, Schedule } from "effect"
import { askServer } from "../programs/askServer.js"
import { duration } from "../programs/duration.js"
import { ExitCode, exitCodeOf, isPrinted, ProgramFailure, sentenceOf } from "../programs/ExitCode.js"
import { version } from "../programs/version.js"
import { withFittingColours } from "../programs/withFittingColours.js"
import { operatorToken } from "../src/AccessTokens.js"
import { Status, SubmitResult } from "../src/http/Api.js"
import { layerEnvironment } from "../src/Settings.js"
import { dayMs, simulateHome } from "../test/support/fleet.js"
import { soil } from "../test/support/fleetDirt.js"
import { submitBodies } from "../test/support/fleetOutput.js"

const model = "AERO SLM"
const seed = 1
const winterMs = Date.UTC(2026, 0, 5)
/** As bench/evaluation.ts has it. */
const glitches = 0.0001
const uploadsAtOnce = 3
const count = new Intl.NumberFormat("en")

const options = {
  homes: Options.integer("homes").pipe(Options.withDescription("Homes to simulate"), Options.withDefault(16)),
  days: Options.integer("days").pipe(
    Options.withDescription("Days of each, a record a minute"),
    Options.withDefault(20)
  ),
  dataDir: Options.directory("data-dir").pipe(
    Options.withDescription("Directory for the demo alone; one that holds other data is refused"),
    Options.withDefault("data-demo")
  ),
  port: Options.integer("port").pipe(
    Options.withDescription("Port of the demo's server, which leaves 8000 to a real one"),
    Options.withDefault(8001)
  ),
  url: Options.text("url").pipe(
    Options.withDescription(
      "Send to this running server instead of starting one; never to one with data of real homes"
    ),
    Options.optional
  ),
  token: Options.redacted("token").pipe(Options.withDescription("Token for --url"), Options.optional)
}

const failed = (message: string) => new ProgramFailure({ code: ExitCode.failed, message })

/** One line that is written over on a terminal, elsewhere a line per home. */
const showProgress = (text: string) =>
  Effect.sync(() => {
    process.stderr.write(process.stderr.isTTY === true ? `\r\u001b[K${text}` : `${text}\n`)
  })
const endProgress = Effect.sync(() => {
  if (process.stderr.isTTY === true) process.stderr.write("\r\u001b[K")
})

/** The bodies that the logger of a home uploads, in order of time. */
const bodiesOf = (home: number, days: number, nowMs: number): ReadonlyArray<string> => {
  const clean = simulateHome({ seed, home, startMs: winterMs, days })
  const dirty = soil(clean, { seed: home, glitches })
  const shiftMs = Math.floor(nowMs / dayMs) * dayMs - (winterMs + days * dayMs)
  return submitBodies({ ...dirty, timestampsMs: dirty.timestampsMs.map((ms) => ms + shiftMs) }, { model })
}

const upload = Effect.fn("demo.upload")(function* (url: string, token: Redacted.Redacted, body: string) {
  const client = yield* HttpClient.HttpClient
  const response = yield* client.execute(
    HttpClientRequest.post(`${url}/api/v1/submit`).pipe(
      HttpClientRequest.bearerToken(token),
      HttpClientRequest.bodyText(body, "application/json")
    )
  )
  if (response.status !== 200) {
    return yield* failed(`${url} answered ${response.status} to a submission: ${yield* response.text}`)
  }
  return (yield* HttpClientResponse.schemaBodyJson(SubmitResult)(response)).processed
})

/** Records stored. */
const fill = Effect.fn("demo.fill")(function* (
  url: string,
  token: Redacted.Redacted,
  { days, homes }: { readonly days: number; readonly homes: number }
) {
  const startMs = yield* Clock.currentTimeMillis
  let records = 0
  for (let home = 0; home < homes; home++) {
    const bodies = bodiesOf(home, days, startMs)
    const stored = yield* Effect.forEach(bodies, (body) => upload(url, token, body), { concurrency: uploadsAtOnce })
    records += stored.reduce((sum, n) => sum + n, 0)
    const done = home + 1
    const seconds = ((yield* Clock.currentTimeMillis) - startMs) / 1000
    const left = done === homes ? "" : `, ${duration(Math.ceil((seconds / done) * (homes - done)))} left`
    yield* showProgress(`${done} of ${homes} homes, ${count.format(records)} records stored${left}`)
  }
  yield* endProgress
  return records
})

/** `telemetry serve` until the scope ends, with nothing of this shell's settings: it must not meet a real store. */
const startServer = Effect.fn("demo.startServer")(function* (dataDir: string, port: number) {
  const path = yield* Path.Path
  const client = yield* HttpClient.HttpClient
  const url = `http://127.0.0.1:${port}`
  if (yield* Effect.isSuccess(client.get(url))) {
    return yield* failed(`something answers at ${url} already; stop it, or choose another port with --port`)
  }
  const main = yield* path.fromFileUrl(new URL("../programs/main.js", import.meta.url))
  const inherited = ["PATH", "HOME", "TMPDIR", "NO_COLOR"].map((name) => [name, process.env[name]] as const)
  const server = yield* Process.make(process.execPath, main, "serve").pipe(
    Process.env(
      { ...Object.fromEntries(inherited), DATA_DIR: dataDir, PORT: String(port), LOG_LEVEL: "warning" },
      { extendEnv: false }
    ),
    Process.stderr("inherit"),
    Process.start
  )
  const isReady = client.get(`${url}/ready`).pipe(
    Effect.filterOrFail(({ status }) => status === 200),
    Effect.retry(Schedule.spaced("100 millis"))
  )
  const ended = server.exitCode.pipe(
    Effect.flatMap((code) => failed(`the demo's server ended with ${code}; what it said stands above`))
  )
  yield* Effect.raceFirst(isReady, ended)
  return { url, ended }
})

const demo = Command.make("demo", options, ({ dataDir, port, token, url, ...fleet }) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    if (fleet.homes < 1 || fleet.days < 1) return yield* failed("--homes and --days must be whole numbers from 1")
    if (Option.isSome(url)) {
      const bearer = yield* Option.match(token, { onNone: () => operatorToken("data"), onSome: Effect.succeed })
      const records = yield* fill(url.value.replace(/\/+$/, ""), bearer, fleet)
      return yield* Console.log(`${fleet.homes} homes, ${count.format(records)} records, are at ${url.value}.`)
    }

    const mark = path.join(dataDir, "demo-filled")
    const isFilled = yield* fs.exists(mark)
    const { ended, url: own } = yield* startServer(dataDir, port)
    const bearer = yield* operatorToken(dataDir)
    const server = { url: own, token: Option.some(bearer), dataDir }
    const { store } = yield* askServer(server, HttpClientRequest.get("/api/v1/status"), Status)
    if (!isFilled && store.records > 0) {
      return yield* failed(
        `${dataDir} holds other data, or what a demo left that was cut off; remove that directory, or name another with --data-dir`
      )
    }
    if (!isFilled) {
      yield* Effect.raceFirst(fill(own, bearer, fleet), ended)
      yield* fs.writeFileString(mark, "")
    }
    yield* Console.log(
      [
        `A simulated fleet of heat pumps "${model}" is in ${dataDir}, its server at ${own}.`,
        "In a second terminal:",
        "",
        `  npx telemetry status --url ${own} --data-dir ${dataDir}`,
        `  npx telemetry train --model "${model}" --data-dir ${dataDir}`,
        "",
        "Ctrl-C stops the server; npm run demo starts it again with the same data."
      ].join("\n")
    )
    yield* ended
  }).pipe(Effect.scoped)
).pipe(
  Command.withDescription(
    "Fill a server of its own with a simulated fleet in about a minute, and serve it until stopped"
  )
)

// A terminal that is closed: the server takes the signal for a wish to read its tokens again, and would stay.
process.once("SIGHUP", () => process.kill(process.pid, "SIGTERM"))

Command.run(demo, { name: "demo", version, executable: "npm run demo --" })(process.argv).pipe(
  Effect.tapError((error) => (isPrinted(error) ? Effect.void : Console.error(`error: ${sentenceOf(error) ?? error}`))),
  Effect.provide([NodeContext.layer, NodeHttpClient.layer, layerEnvironment]),
  withFittingColours,
  NodeRuntime.runMain({
    disableErrorReporting: true,
    disablePrettyLogger: true,
    teardown: (exit, onExit) => onExit(exitCodeOf(exit, ExitCode.done))
  })
)
