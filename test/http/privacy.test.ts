import { randomUUID } from "node:crypto"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { NodeContext, NodeHttpClient } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { layerTracing } from "../../src/observability/Tracing.js"
import { captureLogs, layerTestServer, serverPort } from "../support/testServer.js"
import { traceReceiver } from "../support/traceReceiver.js"
import { type Answer, head, openWire } from "../support/wire.js"

const source = "127.77.88.99"

const tokens = {
  logger: "logger-token-Pq7Zr2Lm9x",
  admin: "admin-token-Wn4Kd8Ts1v",
  wrong: "wrong-token-Hj6Bc3Fy5u"
}
const installationId = randomUUID()
/** Everything that a client could send and that could be about somebody. */
const submitted = {
  value: 21.73019,
  other: -47.11229,
  refused: 987654.321987,
  text: "valueText5Gq8",
  timestamp: Math.round(Date.now()) / 1000 - 86.247,
  model: "Model5Vx9",
  version: "7.31.905",
  badModel: "Model/6Tb2",
  badVersion: "1.0 8Rk3",
  badId: "notAnId4Wz6",
  heatpump: "hp-9Nf1",
  manufacturer: "maker-2Jd7",
  key: "sensor_3Lp4",
  envelopeKey: "envelope_8Yc5",
  query: "query7Mh2",
  path: "path5Kt9",
  method: "METHOD6XQ",
  header: "header1Vb8",
  forwarded: "203.0.113.77",
  userAgent: "agent4Zs3",
  broken: "broken9Dw6"
}

const heatpump = {
  id: submitted.heatpump,
  manufacturer: submitted.manufacturer,
  model: submitted.model,
  values: { temp_outside: submitted.value, text: submitted.text, mode: { value: 1, text: submitted.text } }
}
const good = {
  installation_id: installationId,
  heatpump_model: submitted.model,
  version: submitted.version,
  [submitted.envelopeKey]: submitted.text,
  data: [
    { timestamp: submitted.timestamp, [submitted.key]: submitted.value, temp_outside: submitted.refused },
    { timestamp: submitted.timestamp, heatpumps: [heatpump] },
    { timestamp: submitted.text, a: submitted.other },
    submitted.text
  ]
}
const goodText = JSON.stringify(good)

const bodies: ReadonlyArray<string | Buffer> = [
  goodText,
  goodText,
  goodText.toUpperCase(),
  gzipSync(goodText),
  JSON.stringify({ ...good, heatpump_model: submitted.badModel }),
  JSON.stringify({ ...good, version: submitted.badVersion }),
  JSON.stringify({ ...good, installation_id: submitted.badId }),
  JSON.stringify({ ...good, data: { [submitted.key]: submitted.text } }),
  JSON.stringify([submitted.text]),
  // Each stops V8's parser in another way, next to something that it would quote.
  submitted.broken,
  `"${submitted.broken}`,
  `{"${submitted.broken}"}`,
  `{"a":"${submitted.broken}" "b"}`,
  `{"a": "${submitted.broken}", ${submitted.broken}}`,
  `[${submitted.broken}]`,
  `[1 ${submitted.broken}]`,
  `["\\u${submitted.broken}"]`,
  `["${submitted.broken}\n"]`,
  `[NaN, ${submitted.broken}]`,
  `${goodText}${submitted.broken}`,
  goodText.slice(0, -20)
]

const requests = (): ReadonlyArray<string | Buffer> => {
  const common = {
    "x-forwarded-for": submitted.forwarded,
    "user-agent": submitted.userAgent,
    "x-custom": submitted.header,
    cookie: `session=${submitted.header}`
  }
  const all: Array<string | Buffer> = []
  const query = `?token=${tokens.logger}&q=${submitted.query}`
  const auths = [undefined, ...Object.values(tokens).map((token) => `Bearer ${token}`), `Basic ${submitted.header}`]
  for (const authorization of auths) {
    for (const path of [
      "/health",
      "/ready",
      "/openapi.json",
      "/docs",
      "/api/v1/status",
      "/metrics",
      "/api/v1/submit",
      "/api/v1/installations/erase",
      "/api/v1/installations/export",
      "/api/v1/quarantine/resend",
      "/api/v1/pool/status",
      "/api/v1/model/check",
      "/api/v1/model/download",
      "/api/v1/models",
      "/api/v1/community/averages"
    ]) {
      for (const method of ["GET", "HEAD", "DELETE", "OPTIONS"]) {
        if (path === "/docs" && method === "GET") continue
        all.push(head(`${method} ${path}${query}`, { ...common, authorization, connection: "close" }))
      }
    }
    for (const path of [
      `/${submitted.path}`,
      `/api/v1/${submitted.path}`,
      `/${submitted.path}/%ff`,
      "/api/v1/submit/x"
    ]) {
      all.push(head(`GET ${path}${query}`, { ...common, authorization }))
      all.push(`${head(`POST ${path}${query}`, { ...common, authorization, "content-length": 2 })}{}`)
    }
    for (const asked of [
      `/api/v1/model/check?installation_id=${installationId}&model=${submitted.model}&current_hash=${submitted.header}`,
      `/api/v1/model/check?installation_id=${submitted.badId}`,
      `/api/v1/model/check?installation_id=${installationId}&model=${encodeURIComponent(submitted.badModel)}`,
      `/api/v1/model/download?installation_id=${installationId}&model=${submitted.model}`,
      `/api/v1/community/averages?model=${encodeURIComponent(submitted.badModel)}&metrics=temp_outside`
    ]) {
      all.push(head(`GET ${asked}`, { ...common, authorization, connection: "close" }))
    }
    if (authorization !== `Bearer ${tokens.admin}`) {
      all.push(head("GET /api/v1/installations", { ...common, authorization, connection: "close" }))
    }
    // An operator who is entitled to it does get an answer about the home.
    const asked = [submitted.broken, JSON.stringify({ installation_id: submitted.badId, format: submitted.text })]
    if (authorization !== `Bearer ${tokens.admin}`) asked.push(JSON.stringify({ installation_id: installationId }))
    for (const body of asked) {
      for (const path of ["/api/v1/installations/export", "/api/v1/installations/erase"]) {
        const headers = { ...common, authorization, "content-length": body.length }
        all.push(head(`POST ${path}${query}`, headers) + body)
      }
    }
    for (const body of bodies) {
      const headers = {
        ...common,
        authorization,
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body)
      }
      const encoded = Buffer.isBuffer(body) ? { "content-encoding": "gzip" } : {}
      const sent = Buffer.from(body)
      all.push(Buffer.concat([Buffer.from(head(`POST /api/v1/submit${query}`, { ...headers, ...encoded })), sent]))
    }
  }
  const authorization = `Bearer ${tokens.logger}`
  const refusedHeads = [
    { "content-type": submitted.header, "content-length": 1 },
    { "content-encoding": submitted.header, "content-length": 1 },
    { "content-encoding": "gzip", "content-length": submitted.broken.length },
    { "content-length": 1e12 },
    { "content-length": submitted.header },
    { "transfer-encoding": "chunked" },
    {}
  ]
  for (const headers of refusedHeads) {
    all.push(head(`POST /api/v1/submit${query}`, { ...common, authorization, ...headers }) + submitted.broken)
  }
  all.push(`${submitted.method} / HTTP/1.1\r\n\r\n`, `${submitted.broken}\r\n\r\n`)
  all.push(head("GET /health", { ...common, "x-long": submitted.header.repeat(2_000) }))
  return all
}

/** Sends on a connection of its own and waits for the answer; undefined when there is none. */
const exchange = (port: number, bytes: string | Buffer) =>
  Effect.gen(function* () {
    const wire = yield* openWire(port, { localAddress: source })
    wire.send(bytes)
    const answer: Answer | undefined = yield* wire.answer
    wire.end()
    return answer
  }).pipe(Effect.scoped, Effect.timeout("5 seconds"))

const layerTraces = (url: string, protocol: string) =>
  layerTracing("0.0.0").pipe(
    Layer.provide([NodeContext.layer, NodeHttpClient.layer]),
    Layer.provide(
      Layer.setConfigProvider(
        ConfigProvider.fromMap(
          new Map([
            ["OTEL_EXPORTER_OTLP_ENDPOINT", url],
            ["OTEL_EXPORTER_OTLP_PROTOCOL", protocol]
          ])
        )
      )
    )
  )

it.scopedLive.each([
  { through: "no proxy", trusted: "", masked: "127.77.xxx.xxx", protocol: "http/json" },
  { through: "a trusted proxy", trusted: "127.0.0.0/8", masked: "203.0.xxx.xxx", protocol: "http/protobuf" }
])(
  "no log line, trace, answer or file holds an address or a token, no log line or trace a submitted value: through $through",
  ({ masked, protocol, trusted }) => {
    const logs = captureLogs()
    return Effect.gen(function* () {
      const dataDir = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-privacy-"))),
        (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
      )
      const settings = {
        DATA_DIR: dataDir,
        HOST: "::",
        AUTH_TOKEN: tokens.logger,
        ADMIN_TOKEN: tokens.admin,
        TRUSTED_PROXIES: trusted,
        ADDRESS_REQUESTS_PER_HOUR: "1000000"
      }
      const { received, url } = yield* traceReceiver(() => 200)
      const answers = yield* Effect.gen(function* () {
        const port = yield* serverPort
        const answers = yield* Effect.forEach(requests(), (bytes) => exchange(port, bytes), { concurrency: 8 })
        // Hanging up in the middle of a body, and of a header.
        for (const bytes of [
          head("POST /api/v1/submit", {
            "x-forwarded-for": submitted.forwarded,
            authorization: `Bearer ${tokens.logger}`,
            "content-length": 5_000
          }) + goodText,
          head(`GET /${submitted.path}`, { authorization: `Bearer ${tokens.logger}` }).slice(0, -2)
        ]) {
          yield* Effect.scoped(
            Effect.flatMap(openWire(port, { localAddress: source }), (wire) => {
              wire.send(bytes)
              return Effect.sleep("100 millis")
            })
          )
        }
        return answers
      }).pipe(Effect.provide(layerTestServer(settings, logs.layer).pipe(Layer.provide(layerTraces(url, protocol)))))
      const traces = Buffer.concat(received.map(({ body }) => body)).toString("latin1")
      for (const name of ["POST /api/v1/submit", "GET (none)", "RightsHandlers.export", "CommunityHandlers.check"]) {
        assert.include(traces, name, "they are of this scenario")
      }

      const statuses = new Set(answers.map((answer) => answer?.status))
      const seen = [200, 400, 401, 403, 404, 405, 411, 413, 415, 422, 431]
      assert.includeMembers([...statuses], seen, "the scenario reaches what it is about")
      assert.notInclude([...statuses], 500)

      // Field names are the one thing that an answer repeats: the verdicts of a 200 name the fields that were refused.
      const { key: _, ...secrets } = submitted
      const forbidden = [
        source,
        "88.99",
        installationId,
        ...Object.values(tokens),
        ...Object.values(secrets).map(String)
      ]
      const everything = [
        traces,
        ...logs.lines,
        ...answers.map((answer) => JSON.stringify([...(answer?.headers ?? [])]) + answer?.body)
        // Also in the hexadecimal form of an IPv4-mapped address, and whatever the case.
      ].map((text) => text.toLowerCase())
      for (const secret of [...forbidden, "7f4d:5863", "::ffff"]) {
        const found = everything.find((text) => text.includes(secret.toLowerCase()))
        assert.isUndefined(found, `${secret} is in ${found}`)
      }
      assert.isFalse([traces, ...logs.lines].some((text) => text.includes(submitted.key)))
      const files = Buffer.concat(readdirSync(dataDir).map((name) => readFileSync(join(dataDir, name))))
      for (const secret of [source, submitted.forwarded, ...Object.values(tokens)])
        assert.isFalse(files.includes(secret))

      const requestLines = logs.lines.filter((line) => line.includes('"request"'))
      assert.isAbove(requestLines.length, 200)
      assert.deepStrictEqual(
        requestLines.filter((line) => !line.includes(masked)),
        []
      )
      const storedLines = logs.lines.filter((line) => line.includes("submission stored"))
      assert.isAbove(storedLines.length, 2)
      for (const line of storedLines) assert.include(line, masked)
      assert.isFalse(logs.lines.some((line) => line.includes("BUG:")))
    })
  }
)
