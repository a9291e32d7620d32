import { FileSystem, HttpServer } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { ConfigProvider, Effect, Layer, Logger, LogLevel } from "effect"
import { layerServe } from "../../programs/serve.js"

export const testToken = "a-token-of-the-tests-0123456789"

/** Every log line written by what is provided with `layer`, as JSON, at every level. */
export const captureLogs = () => {
  const lines: Array<string> = []
  const logger = Logger.map(Logger.jsonLogger, (line) => lines.push(line))
  const layer = Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(LogLevel.All))
  return { lines, layer }
}

/** The layer graph of `telemetry serve` on a free port, an empty directory and the given settings; silent. */
export const layerTestServer = (
  settings: Readonly<Record<string, string>> = {},
  logs: Layer.Layer<never> = Logger.remove(Logger.defaultLogger)
) =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const dataDir = settings.DATA_DIR ?? (yield* fs.makeTempDirectoryScoped({ prefix: "telemetry-" }))
      return Layer.unwrapEffect(layerServe({ host: settings.HOST ?? "127.0.0.1", port: 0, dataDir }))
    })
  ).pipe(
    Layer.provide(
      Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries({ AUTH_TOKEN: testToken, ...settings }))))
    ),
    Layer.provide(NodeContext.layer),
    Layer.provideMerge(logs)
  )

/** Base URL of the server in context. */
export const baseUrl = Effect.map(HttpServer.HttpServer, ({ address }) =>
  address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : address.path
)

/** A POST of `body` to `/api/v1/submit` as loggers make it; headers given as undefined are left out. */
export const submit = (
  base: string,
  body: unknown,
  headers: Readonly<Record<string, string | undefined>> = {}
): Promise<Response> => {
  const all = { authorization: `Bearer ${testToken}`, "content-type": "application/json", ...headers }
  return fetch(`${base}/api/v1/submit`, {
    method: "POST",
    headers: Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
    body: Buffer.isBuffer(body) || typeof body === "string" ? body : JSON.stringify(body)
  })
}
