import { isatty } from "node:tty"
import { Command, Options } from "@effect/cli"
import { FileSystem, type Path } from "@effect/platform"
import { Deferred, Effect, FiberSet, Layer, Option } from "effect"
import { serverTokens } from "../src/AccessTokens.js"
import { Registry } from "../src/artifact/Registry.js"
import { rawAddress } from "../src/domain/Address.js"
import { Fatal } from "../src/Fatal.js"
import { About } from "../src/http/About.js"
import { Clients } from "../src/http/Clients.js"
import { Scraped } from "../src/http/MetricsHandlers.js"
import { layerHttp, layerListener } from "../src/http/Server.js"
import { Metrics } from "../src/observability/Metrics.js"
import { layerTracing } from "../src/observability/Tracing.js"
import { Auth } from "../src/pipeline/Auth.js"
import { Averages } from "../src/pipeline/Averages.js"
import { Decode } from "../src/pipeline/Decode.js"
import { Encode } from "../src/pipeline/Encode.js"
import { Grants } from "../src/pipeline/Grants.js"
import { InFlight } from "../src/pipeline/InFlight.js"
import { Ingest } from "../src/pipeline/Ingest.js"
import { isLoopback, Mask } from "../src/pipeline/Mask.js"
import { Pool } from "../src/pipeline/Pool.js"
import { Quotas } from "../src/pipeline/Quotas.js"
import { Write } from "../src/pipeline/Write.js"
import { SettingInvalid } from "../src/Secrets.js"
import * as Settings from "../src/Settings.js"
import { dataDir } from "./dataDir.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { modelDirOf } from "./modelDirOf.js"
import { layerStore } from "./store.js"
import { version } from "./version.js"

const host = Options.text("host").pipe(
  Options.withDescription("Address to listen on; 0.0.0.0 for all (HOST)"),
  Options.withFallbackConfig(Settings.host)
)
const port = Options.integer("port").pipe(
  Options.withAlias("p"),
  Options.withDescription("TCP port to listen on; 0 picks a free one (PORT)"),
  Options.filterMap(
    Option.liftPredicate((port) => port >= 0 && port <= 65_535),
    "--port must be a whole number from 0 to 65535"
  ),
  Options.withFallbackConfig(Settings.port)
)
/** The directory, made when it is not there, and readable for its owner alone. */
const makeDataDir = Effect.fn("serve.makeDataDir")(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.makeDirectory(directory, { recursive: true, mode: 0o700 }).pipe(
    Effect.zipRight(fs.access(directory, { writable: true })),
    Effect.mapError((error) => new SettingInvalid({ setting: "DATA_DIR", reason: `cannot be used: ${error.message}` }))
  )
})

const hasTerminal = () => isatty(0) || isatty(2)

/**
 * SIGHUP reads the tokens again, from their files above all; what cannot be read leaves the old ones valid. It is also what
 * a terminal sends when it is closed: then this ends, as a program that somebody left running there should.
 */
const layerTokenReload = (dataDir: string) =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const auth = yield* Auth
      const run = yield* FiberSet.makeRuntime<FileSystem.FileSystem | Path.Path>()
      const reload = serverTokens(dataDir).pipe(
        Effect.flatMap(auth.replace),
        Effect.zipRight(Effect.logInfo("read the tokens again")),
        Effect.catchAll((error) => Effect.logError(`the tokens stay as they are: ${error.message}`))
      )
      const hadTerminal = hasTerminal()
      let isEnding = false
      const listener = () => {
        if (!hadTerminal || hasTerminal()) {
          run(reload)
          return
        }
        // It comes more than once, and a second SIGTERM would not wait for what is in flight.
        if (isEnding) return
        isEnding = process.kill(process.pid, "SIGTERM")
        // At the very end: Node 20 crashes where it resets a terminal that is gone.
        process.once("exit", () => process.kill(process.pid, "SIGHUP"))
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => process.on("SIGHUP", listener)),
        () => Effect.sync(() => process.off("SIGHUP", listener))
      )
    })
  )

/** Everything `serve` is made of, from the outside in. Each starts after what stands below it and stops before it. */
export const layerServe = Effect.fn("serve.layer")(function* (options: {
  readonly host: string
  readonly port: number
  readonly dataDir: string
}) {
  const limits = yield* Settings.limits
  const connections = yield* Settings.connections
  const quotas = yield* Settings.quotas
  const trustedProxies = yield* Settings.trustedProxies
  const modelDir = yield* modelDirOf(options.dataDir)
  const community = yield* Settings.community
  const minInstallations = yield* Settings.minInstallations
  const minDataPoints = yield* Settings.minDataPoints
  yield* makeDataDir(options.dataDir)
  const tokens = yield* serverTokens(options.dataDir)
  if (trustedProxies.length === 0 && !isLoopback(rawAddress(options.host))) {
    yield* Effect.logWarning(
      "listening beyond this machine without a trusted proxy: put one with HTTPS in front, and name it in TRUSTED_PROXIES"
    )
  }
  const store = yield* layerStore({ ...limits, dataDir: options.dataDir })

  const { minFreeDiskBytes } = limits
  const scraped = { version, nodeVersion: process.version, modelDir, dataDir: options.dataDir, minFreeDiskBytes }
  return layerHttp.pipe(
    Layer.provideMerge(layerListener({ ...connections, host: options.host, port: options.port })),
    Layer.provide(Ingest.layer),
    Layer.provide([Decode.layer({ ...limits, ...quotas }), Encode.layer, Write.layer]),
    Layer.provide([Quotas.layer(quotas), layerTokenReload(options.dataDir)]),
    Layer.provide([Pool.layer({ ...community, minInstallations, minDataPoints }), Averages.layer(community.minGroup)]),
    Layer.provide([
      Auth.layer(tokens),
      Clients.layer(trustedProxies),
      Mask.layer,
      Grants.layer,
      Registry.layer(modelDir),
      Layer.succeed(About, { version, modelDir, retention: limits.retention }),
      Layer.succeed(Scraped, scraped)
    ]),
    Layer.provideMerge(store),
    Layer.provide([Metrics.layer, InFlight.layer(Math.max(limits.maxInFlightBytes, limits.maxBodyBytes))])
  )
})

export const serve = Command.make("serve", { host, port, dataDir }, (options) =>
  Effect.gen(function* () {
    const fatal = yield* Deferred.make<never, Error>()
    const server = Layer.launch(Layer.unwrapEffect(layerServe(options))).pipe(
      Effect.catchTag(
        "ServeError",
        ({ cause }) =>
          new ProgramFailure({
            code: ExitCode.failed,
            message: `cannot listen on ${options.host} port ${options.port}: ${cause instanceof Error ? cause.message : "unknown reason"}; choose another with --host and --port`
          })
      )
    )
    yield* Effect.raceFirst(server, Deferred.await(fatal)).pipe(Effect.provideService(Fatal, fatal))
  }).pipe(
    Effect.onInterrupt(() => Effect.logInfo("stopped")),
    Effect.provide(layerTracing(version))
  )
).pipe(
  Command.withDescription(
    "Receive and keep telemetry until stopped. Example: telemetry serve --host 0.0.0.0 --port 8000"
  )
)
