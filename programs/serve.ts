import { Command, Options } from "@effect/cli"
import { FileSystem, Path } from "@effect/platform"
import { Deferred, Effect, Layer } from "effect"
import { serverTokens } from "../src/AccessTokens.js"
import { About } from "../src/http/Handlers.js"
import { Scraped } from "../src/http/MetricsHandlers.js"
import { layerHttp, layerListener } from "../src/http/Server.js"
import { Fatal } from "../src/observability/Fatal.js"
import { Metrics } from "../src/observability/Metrics.js"
import { Auth } from "../src/pipeline/Auth.js"
import { Decode } from "../src/pipeline/Decode.js"
import { Encode } from "../src/pipeline/Encode.js"
import { Ingest } from "../src/pipeline/Ingest.js"
import { Mask } from "../src/pipeline/Mask.js"
import { Write } from "../src/pipeline/Write.js"
import { SettingInvalid } from "../src/Secrets.js"
import * as Settings from "../src/Settings.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { layerStore } from "./store.js"
import { version } from "./version.js"

const host = Options.text("host").pipe(
  Options.withDescription("Address to listen on; 0.0.0.0 for all (HOST)"),
  Options.withFallbackConfig(Settings.host)
)
const port = Options.integer("port").pipe(
  Options.withAlias("p"),
  Options.withDescription("TCP port to listen on; 0 picks a free one (PORT)"),
  Options.withFallbackConfig(Settings.port)
)
export const dataDir = Options.directory("data-dir").pipe(
  Options.withDescription("Directory of the store and the generated token (DATA_DIR)"),
  Options.withFallbackConfig(Settings.dataDir)
)

/** The directory, made when it is not there, and readable for its owner alone. */
const makeDataDir = Effect.fn("serve.makeDataDir")(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.makeDirectory(directory, { recursive: true, mode: 0o700 }).pipe(
    Effect.zipRight(fs.access(directory, { writable: true })),
    Effect.mapError((error) => new SettingInvalid({ setting: "DATA_DIR", reason: `cannot be used: ${error.message}` }))
  )
})

/** Everything `serve` is made of, from the outside in. Each starts after what stands below it and stops before it. */
export const layerServe = Effect.fn("serve.layer")(function* (options: {
  readonly host: string
  readonly port: number
  readonly dataDir: string
}) {
  const path = yield* Path.Path
  const limits = yield* Settings.limits
  const connections = yield* Settings.connections
  const modelDir = (yield* Settings.modelDir) || path.join(options.dataDir, "models")
  yield* makeDataDir(options.dataDir)
  const tokens = yield* serverTokens(options.dataDir)
  const store = yield* layerStore({ ...limits, dataDir: options.dataDir })

  const { minFreeDiskBytes } = limits
  const scraped = { version, nodeVersion: process.version, modelDir, dataDir: options.dataDir, minFreeDiskBytes }
  return layerHttp.pipe(
    Layer.provideMerge(layerListener({ ...connections, host: options.host, port: options.port })),
    Layer.provide(Ingest.layer),
    Layer.provide([Decode.layer(limits), Encode.layer, Write.layer]),
    Layer.provide([Auth.layer(tokens), Mask.layer, Layer.succeed(About, { version, modelDir })]),
    Layer.provide(Layer.succeed(Scraped, scraped)),
    Layer.provideMerge(store),
    Layer.provide(Metrics.layer)
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
  }).pipe(Effect.onInterrupt(() => Effect.logInfo("stopped")))
).pipe(
  Command.withDescription(
    "Receive and keep telemetry until stopped. Example: telemetry serve --host 0.0.0.0 --port 8000"
  )
)
