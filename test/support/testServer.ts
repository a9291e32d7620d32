import { randomUUID } from "node:crypto"
import { FileSystem, HttpServer } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { ConfigProvider, Effect, Layer, Logger, LogLevel, Schema, Stream } from "effect"
import { layerServe } from "../../programs/serve.js"
import { InstallationId } from "../../src/domain/InstallationId.js"
import { SubmitResult } from "../../src/http/Api.js"
import { Problem } from "../../src/http/Problem.js"
import { Store } from "../../src/store/Store.js"

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

export const serverPort = Effect.map(HttpServer.HttpServer, ({ address }) =>
  address._tag === "TcpAddress" ? address.port : 0
)

/** A submission of a home that nobody else has; `envelope` replaces its keys. */
export const newHome = (data: ReadonlyArray<unknown>, envelope: Readonly<Record<string, unknown>> = {}) => ({
  installation_id: randomUUID() as string,
  heatpump_model: "AERO SLM",
  version: "1.0.1",
  data,
  ...envelope
})

/** A home's submission with records written by hand: JSON that no serializer makes. */
export const homeOf = (...records: ReadonlyArray<string>) => {
  const { data: _, ...envelope } = newHome([])
  return {
    installationId: envelope.installation_id,
    body: `${JSON.stringify(envelope).slice(0, -1)},"data":[${records.join(",")}]}`
  }
}

/** Submits to the server in context. */
export const post = Effect.fn("post")(function* (
  body: unknown,
  headers: Readonly<Record<string, string | undefined>> = {}
) {
  const base = yield* baseUrl
  return yield* Effect.promise(async () => {
    const response = await submit(base, body, headers)
    return { status: response.status, headers: response.headers, text: await response.text() }
  })
})

const strict = { onExcessProperty: "error" } as const
const resultOf = Schema.decodeUnknownSync(Schema.parseJson(SubmitResult), strict)
const problemOf = Schema.decodeUnknownSync(Schema.parseJson(Problem), strict)

/** The answer to a submission that must be accepted: status 200 and exactly the documented body. */
export const accepted = (body: unknown, headers: Readonly<Record<string, string | undefined>> = {}) =>
  Effect.map(post(body, headers), ({ status, text }) => {
    if (status !== 200) throw new Error(`expected 200, got ${status}: ${text}`)
    return resultOf(text)
  })

/** The status of a submission that must be refused, and the sentence that is all its body may hold. */
export const refused = (body: unknown, headers: Readonly<Record<string, string | undefined>> = {}) =>
  Effect.map(post(body, headers), ({ status, text, headers }) => ({ status, detail: problemOf(text).detail, headers }))

/** Everything the store has of an installation, in order of arrival. */
export const stored = (installationId: string) =>
  Effect.gen(function* () {
    const store = yield* Store
    const records = yield* Stream.runCollect(store.read(InstallationId.make(installationId)))
    return [...records].map(({ tags, timestampMs, values }) => ({
      timestampMs,
      tags: Object.fromEntries(tags),
      values: Object.fromEntries(values)
    }))
  })
