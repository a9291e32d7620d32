import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeContext, NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Layer, Schema } from "effect"
import { sentenceOf } from "../../programs/ExitCode.js"
import { IsTracing, layerTracing } from "../../src/observability/Tracing.js"
import { type Environment, runProgram, serverProcess } from "../support/program.js"
import { newHome, submit, testToken } from "../support/testServer.js"
import { type Received, traceReceiver } from "../support/traceReceiver.js"

const dataDir = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-tracing-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

const Attributes = Schema.Array(
  Schema.Struct({
    key: Schema.String,
    value: Schema.Struct({ stringValue: Schema.optional(Schema.String), intValue: Schema.optional(Schema.Number) })
  })
)
/** The part of `ExportTraceServiceRequest` that is looked at, as OTLP writes it in JSON. */
const decode = Schema.decodeUnknownSync(
  Schema.parseJson(
    Schema.Struct({
      resourceSpans: Schema.Array(
        Schema.Struct({
          resource: Schema.Struct({ attributes: Attributes }),
          scopeSpans: Schema.Array(
            Schema.Struct({
              spans: Schema.Array(
                Schema.Struct({
                  traceId: Schema.String,
                  spanId: Schema.String,
                  parentSpanId: Schema.optional(Schema.String),
                  name: Schema.String,
                  kind: Schema.Int,
                  startTimeUnixNano: Schema.String,
                  endTimeUnixNano: Schema.String,
                  attributes: Attributes,
                  status: Schema.Struct({ code: Schema.Int })
                })
              )
            })
          )
        })
      )
    })
  )
)
const record = (attributes: typeof Attributes.Type) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]))

const canary = "canary-7f3a"
const home = { ...newHome([{ timestamp: Date.now() / 1000, temp_outside: 5, [canary]: 12.345678 }]), version: canary }
const strangerToken = `${canary}-token-0123456789`

/** One request of each kind, with something in every place that must not come out again. */
const requests = (url: string) =>
  Effect.promise(async () => {
    const headers = {
      "x-forwarded-for": "203.0.113.77",
      "user-agent": canary,
      traceparent: `00-${"c0ffee00".repeat(4)}-${"c0ffee00".repeat(2)}-01`
    }
    const answers = [
      await submit(url, home, headers),
      await submit(url, home, { ...headers, authorization: `Bearer ${strangerToken}` }),
      await submit(url, `{"installation_id": "${canary}`, headers),
      await fetch(`${url}/api/v1/model/check?installation_id=${home.installation_id}&model=${canary}`, { headers }),
      await fetch(`${url}/${canary}?${canary}`, { headers }),
      await fetch(`${url}/health`)
    ]
    const ids = answers.map((answer) => answer.headers.get("x-request-id"))
    assert.deepStrictEqual(
      answers.map(({ status }) => status),
      [200, 403, 400, 200, 404, 200]
    )
    for (const id of ids) assert.match(id ?? "", /^[0-9a-f]{16}$/)
    return ids
  })
const secrets = [
  canary,
  testToken,
  home.installation_id,
  "203.0.113",
  "127.0.0.1",
  "12.345678",
  "c0ffee00",
  "export-key"
]

describe("traces by OTLP", () => {
  it.scopedLive("tell of requests what the log tells, and nothing that somebody sent", () =>
    Effect.gen(function* () {
      const { received, url } = yield* traceReceiver(() => 200)
      const server = yield* serverProcess({
        DATA_DIR: yield* dataDir,
        TRUSTED_PROXIES: "127.0.0.1",
        OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/`,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_EXPORTER_OTLP_HEADERS: "api-key=export-key%20one,x-tenant=homes",
        OTEL_RESOURCE_ATTRIBUTES: "service.name=shadowed,deployment.environment.name=a%2Fb",
        OTEL_SERVICE_NAME: "collector"
      })
      const ids = yield* requests(server.url)
      // What has not been sent yet is sent at the end.
      assert.strictEqual(yield* Effect.promise(() => server.stop("SIGTERM")), 0)

      for (const { headers, url } of received) {
        assert.strictEqual(url, "/v1/traces")
        assert.strictEqual(headers["content-type"], "application/json")
        assert.strictEqual(headers["api-key"], "export-key one")
        assert.strictEqual(headers["x-tenant"], "homes")
      }
      const sent = received.flatMap(({ body }) => decode(body.toString()).resourceSpans)
      const { "service.version": release, ...resource } = record(sent[0]!.resource.attributes)
      assert.deepStrictEqual(resource, { "service.name": "collector", "deployment.environment.name": "a/b" })
      assert.match(String(release), /^\d+\.\d+\.\d+/)
      assert.strictEqual(sent[0]!.resource.attributes.filter(({ key }) => key === "service.name").length, 1)

      const spans = sent.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
      const served = spans.filter(({ kind }) => kind === 2)
      assert.deepStrictEqual(
        served.map(({ attributes, name, parentSpanId, status }) => ({
          name,
          parentSpanId,
          status: status.code,
          ...record(attributes)
        })),
        (
          [
            ["POST /api/v1/submit", "POST", "/api/v1/submit", 200],
            ["POST /api/v1/submit", "POST", "/api/v1/submit", 403],
            ["POST /api/v1/submit", "POST", "/api/v1/submit", 400],
            ["GET /api/v1/model/check", "GET", "/api/v1/model/check", 200],
            ["GET (none)", "GET", "(none)", 404]
          ] as const
        ).map(([name, method, route, status], i) => ({
          name,
          parentSpanId: undefined,
          status: 0,
          "http.request.method": method,
          "http.route": route,
          "http.response.status_code": status,
          "telemetry.request.id": ids[i]!
        }))
      )
      assert.strictEqual(new Set(served.map(({ traceId }) => traceId)).size, 5)
      const within = (i: number) => spans.filter(({ traceId }) => traceId === served[i]!.traceId)
      const stored = within(0)
      const names = stored.map(({ name }) => name)
      assert.includeMembers(names, ["Ingest.submit", "Decode.withSubmission", "Encode.blocks", "POST /api/v1/submit"])
      for (const { endTimeUnixNano, parentSpanId, startTimeUnixNano } of stored) {
        assert.isTrue(parentSpanId === undefined || stored.some(({ spanId }) => spanId === parentSpanId))
        assert.isTrue(BigInt(startTimeUnixNano) <= BigInt(endTimeUnixNano))
      }
      const refused = within(1).find(({ name }) => name === "Ingest.submit")!
      assert.strictEqual(refused.status.code, 2)
      assert.deepStrictEqual(record(refused.attributes), { "error.type": "CredentialsRefused" })

      const bytes = Buffer.concat(received.map(({ body }) => body)).toString()
      for (const secret of secrets) assert.notInclude(bytes, secret)
      assert.notInclude(server.log(), "export-key")
    })
  )

  it.scopedLive("in protobuf, to an address of their own, and from train too", () =>
    Effect.gen(function* () {
      const { received, url } = yield* traceReceiver(() => 200)
      const directory = yield* dataDir
      const tracing = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${url}/otlp` }
      const server = yield* serverProcess({ DATA_DIR: directory, TRUSTED_PROXIES: "127.0.0.1", ...tracing })
      yield* requests(server.url)
      yield* Effect.promise(() => server.stop("SIGTERM"))
      const served = received.length
      const trained = yield* Effect.promise(() =>
        runProgram(["train", "--model", "AERO SLM", "--quiet"], { DATA_DIR: directory, ...tracing })
      )
      assert.strictEqual(trained.code, 3)
      const textOf = (all: ReadonlyArray<Received>) => Buffer.concat(all.map(({ body }) => body)).toString("latin1")
      assert.include(textOf(received.slice(0, served)), "POST /api/v1/submit")
      assert.include(textOf(received.slice(served)), "Judgement.judge")
      for (const { headers, url } of received) {
        assert.deepStrictEqual([url, headers["content-type"]], ["/otlp", "application/x-protobuf"])
      }
      for (const secret of secrets) assert.notInclude(textOf(received), secret)
    })
  )

  it.scopedLive("a receiver that is down is complained about once, and holds nothing up", () =>
    Effect.gen(function* () {
      const { received, url } = yield* traceReceiver(() => 500)
      const server = yield* serverProcess({ DATA_DIR: yield* dataDir, OTEL_EXPORTER_OTLP_ENDPOINT: url })
      assert.strictEqual((yield* Effect.promise(() => submit(server.url, home))).status, 200)
      assert.strictEqual(yield* Effect.promise(() => server.stop("SIGTERM")), 0)
      assert.isAbove(received.length, 0)
      assert.strictEqual(server.log().match(/traces cannot be delivered \(status 500\)/g)?.length, 1)
    })
  )

  const build = (environment: Environment) =>
    Effect.scoped(Effect.map(Layer.build(layerTracing("0.0.0")), Context.get(IsTracing))).pipe(
      Effect.provide([NodeContext.layer, NodeHttpClient.layer]),
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(environment))))
    )
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" }

  it.live("off without an endpoint, and where a variable says so", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* build(endpoint))
      for (const off of [
        {},
        { ...endpoint, OTEL_SDK_DISABLED: "true" },
        { ...endpoint, OTEL_TRACES_EXPORTER: "none" }
      ]) {
        assert.isFalse(yield* build(off))
      }
    })
  )

  it.live("a setting that cannot be followed is refused by its name, and a key is not repeated", () =>
    Effect.gen(function* () {
      for (const wrong of [
        { OTEL_EXPORTER_OTLP_ENDPOINT: "localhost:4317" },
        { ...endpoint, OTEL_EXPORTER_OTLP_HEADERS: "export-key" },
        { ...endpoint, OTEL_EXPORTER_OTLP_HEADERS: "api-key=export-key%" },
        { OTEL_RESOURCE_ATTRIBUTES: "a" },
        { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }
      ]) {
        const sentence = sentenceOf(yield* Effect.flip(build(wrong)))
        assert.include(sentence, Object.keys(wrong).at(-1)!)
        assert.notInclude(sentence, "export-key")
      }
    })
  )
})
