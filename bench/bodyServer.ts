/** Child of `body.ts`: reads bodies, as a bare node:http server or through ours, and tells its CPU time when asked. */
import { createServer } from "node:http"
import { HttpServer } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { ConfigProvider, Duration, Effect, Layer, Redacted } from "effect"
import { Registry } from "../src/artifact/Registry.js"
import { About } from "../src/http/About.js"
import { Clients } from "../src/http/Clients.js"
import { Scraped } from "../src/http/MetricsHandlers.js"
import { layerHttp, layerListener } from "../src/http/Server.js"
import { layerLogging } from "../src/observability/Logging.js"
import { Auth } from "../src/pipeline/Auth.js"
import { Averages } from "../src/pipeline/Averages.js"
import { readBody } from "../src/pipeline/Body.js"
import { makeBufferPool } from "../src/pipeline/ByteBuffer.js"
import { Grants } from "../src/pipeline/Grants.js"
import { Ingest } from "../src/pipeline/Ingest.js"
import { Mask } from "../src/pipeline/Mask.js"
import { Pool } from "../src/pipeline/Pool.js"
import { Quotas } from "../src/pipeline/Quotas.js"
import { Backlog } from "../src/store/Backlog.js"
import { Store } from "../src/store/Store.js"

const tellPort = (port: number) => process.send!({ port })
process.on("message", () => process.send!({ cpu: process.cpuUsage() }))

const bare = () => {
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const body = Buffer.concat(chunks)
      chunks.length = 0
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ bytes: body.length }))
    })
  })
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    if (address !== null && typeof address === "object") tellPort(address.port)
  })
}

/** Everything of the real server but what comes after the body has been read. */
const ours = (logLevel: string) => {
  const withBuffer = makeBufferPool()
  const ingest = Layer.effect(
    Ingest,
    Effect.map(Auth, (auth) => ({
      submit: (request) =>
        auth.logger(request.authorization).pipe(
          Effect.zipRight(
            Effect.flatMap(readBody(request.body, 16 << 20), (body) =>
              withBuffer((buffer) => Effect.sync(() => body.moveTo(buffer)))
            )
          ),
          Effect.map((body) => ({
            processed: body.length,
            rejected: 0,
            fieldsDropped: 0,
            duplicate: false,
            receipt: "",
            verdicts: []
          }))
        )
    }))
  )
  const listener = layerListener({
    host: "127.0.0.1",
    port: 0,
    headersTimeout: Duration.seconds(10),
    requestTimeout: Duration.seconds(60),
    shutdownGrace: Duration.seconds(1),
    maxConnections: 512
  })
  const announce = Layer.effectDiscard(
    Effect.map(HttpServer.HttpServer, ({ address }) => address._tag === "TcpAddress" && tellPort(address.port))
  )
  const server = Layer.merge(layerHttp, announce).pipe(
    Layer.provide(listener),
    Layer.provide(ingest),
    Layer.provide([
      Auth.layer({ logger: [Redacted.make("benchmark-token-0123")], admin: [] }),
      Mask.layer,
      Clients.layer([]),
      Layer.mock(Quotas, {}),
      Layer.mock(Store, {}),
      Layer.mock(Pool, { eligibilityDays: 30 }),
      Layer.mock(Averages, {}),
      Layer.mock(Registry, {}),
      Grants.layer,
      Backlog.layerNone,
      Layer.succeed(About, { version: "bench", modelDir: "", retention: Duration.days(365) }),
      Layer.succeed(Scraped, { version: "bench", nodeVersion: "", modelDir: "", dataDir: ".", minFreeDiskBytes: 0 })
    ]),
    Layer.provide([NodeContext.layer, layerLogging]),
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["LOG_LEVEL", logLevel]]))))
  )
  Effect.runFork(Layer.launch(server))
}

if (process.argv[2] === "bare") bare()
else ours(process.argv[2] === "logging" ? "info" : "warning")
