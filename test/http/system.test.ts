import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { version } from "../../programs/version.js"
import { Status } from "../../src/http/Api.js"
import { Store } from "../../src/store/Store.js"
import {
  accepted,
  baseUrl,
  captureLogs,
  layerTestServer,
  newHome,
  refused,
  serverPort,
  stored,
  testToken
} from "../support/testServer.js"
import { head, openWire } from "../support/wire.js"

const get = Effect.fn("get")(function* (path: string, headers: Readonly<Record<string, string>> = {}, method = "GET") {
  const base = yield* baseUrl
  return yield* Effect.promise(async () => {
    const response = await fetch(base + path, { headers, method })
    return { status: response.status, headers: response.headers, text: await response.text() }
  })
})

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const adminToken = "an-admin-token-of-the-tests-456"
const record = () => ({ timestamp: Date.now() / 1000, temp_outside: 1, temp_hgl_flow: 2 })
const decodeStatus = Schema.decodeUnknownSync(Schema.parseJson(Status), { onExcessProperty: "error" })

/** A directory with two models and things that are none, for the life of the scope. */
const modelDirectory = Effect.acquireRelease(
  Effect.sync(() => {
    const directory = mkdtempSync(join(tmpdir(), "telemetry-models-"))
    for (const [i, name] of ["AERO_SLM.enc", "model.pkl", "notes.txt", ".hidden"].entries()) {
      writeFileSync(join(directory, name), "x".repeat(10 + i))
      utimesSync(join(directory, name), 1_700_000_000 + i, 1_700_000_000 + i)
    }
    mkdirSync(join(directory, "old"))
    return directory
  }),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)

layer(layerTestServer(), { excludeTestServices: true })("the server's own pages", (it) => {
  it.effect("/health says that the process lives", () =>
    Effect.gen(function* () {
      const { headers, status, text } = yield* get("/health?x=1", { authorization: "nonsense" })
      assert.deepStrictEqual([status, text], [200, '{"status":"ok"}'])
      assert.match(headers.get("content-type") ?? "", /^application\/json/)
    })
  )

  it.effect("/ready says that submissions can be stored", () =>
    Effect.gen(function* () {
      const { status, text } = yield* get("/ready")
      assert.deepStrictEqual([status, text], [200, '{"status":"ready","journal":null}'])
    })
  )

  it.effect.each(["/health", "/ready", "/docs", "/openapi.json"])("HEAD %s is GET without its body", (path) =>
    Effect.gen(function* () {
      const full = yield* get(path)
      const { headers, status, text } = yield* get(path, {}, "HEAD")
      assert.deepStrictEqual([status, text], [200, ""])
      assert.strictEqual(headers.get("content-type"), full.headers.get("content-type"))
    })
  )

  const isObject = Schema.is(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
  const refsIn = (json: unknown): ReadonlyArray<string> =>
    typeof json !== "object" || json === null
      ? []
      : Object.entries(json).flatMap(([key, value]) => (key === "$ref" ? [String(value)] : refsIn(value)))

  it.effect("/openapi.json describes every address, its statuses and its credentials", () =>
    Effect.gen(function* () {
      const { status, text } = yield* get("/openapi.json")
      assert.strictEqual(status, 200)
      const spec = JSON.parse(text)
      assert.match(spec.openapi, /^3\.1\.\d+$/)
      assert.isNotEmpty(spec.info.title)
      assert.strictEqual(spec.info.version, version)
      assert.deepStrictEqual(Object.keys(spec.paths).sort(), [
        "/api/v1/community/averages",
        "/api/v1/installations",
        "/api/v1/installations/erase",
        "/api/v1/installations/export",
        "/api/v1/model/check",
        "/api/v1/model/download",
        "/api/v1/models",
        "/api/v1/pool/status",
        "/api/v1/quarantine/resend",
        "/api/v1/status",
        "/api/v1/submit",
        "/health",
        "/metrics",
        "/ready"
      ])
      const submit = spec.paths["/api/v1/submit"].post
      assert.includeMembers(
        Object.keys(submit.responses),
        [200, 400, 401, 403, 410, 411, 413, 415, 422, 429, 503].map(String)
      )
      assert.deepStrictEqual(submit.security, [{ bearer: [] }])
      assert.deepStrictEqual(spec.paths["/api/v1/status"].get.security, [{ bearer: [] }])
      assert.deepStrictEqual(spec.components.securitySchemes, { bearer: { type: "http", scheme: "bearer" } })
      assert.isDefined(submit.requestBody.content["application/json"].schema)
      const operations = Object.values(spec.paths).flatMap((path) => Object.values(path as object))
      const ids = operations.map((operation) => operation.operationId)
      assert.strictEqual(new Set(ids).size, ids.length)
      for (const { responses } of operations) {
        for (const response of Object.values(responses))
          assert.isString((response as { description: string }).description)
      }
      for (const ref of refsIn(spec)) {
        const target = ref
          .replace(/^#\//, "")
          .split("/")
          .reduce((json: unknown, key) => (isObject(json) ? json[key] : undefined), spec)
        assert.isDefined(target, `${ref} leads nowhere`)
      }
    })
  )

  it.effect("/docs is a page that loads nothing from elsewhere", () =>
    Effect.gen(function* () {
      const { headers, status, text } = yield* get("/docs")
      assert.strictEqual(status, 200)
      assert.match(headers.get("content-type") ?? "", /^text\/html/)
      assert.include(text, "/api/v1/submit")
      const markup = text.replaceAll(/<(script|style)\b[^>]*>[\s\S]*?<\/\1>/g, (_, tag) => `<${tag}/>`)
      const openings = text.match(/<(script|link|img|iframe|style)\b[^>]*>/g) ?? []
      assert.isNotEmpty(openings)
      for (const tag of [...openings, markup]) assert.notMatch(tag, /(src|href)\s*=\s*["']?\s*(https?:)?\/\//i)
      assert.notMatch(text, /@import\s|url\(\s*["']?(https?:)?\/\//)
    })
  )

  it.scoped("many quick requests on one connection are all answered", () =>
    Effect.gen(function* () {
      const wire = yield* openWire(yield* serverPort)
      wire.send(head("GET /health").repeat(50))
      for (let i = 0; i < 50; i++) assert.strictEqual((yield* wire.answer)?.body, '{"status":"ok"}')
    })
  )
})

layer(layerTestServer({ MODEL_DIR: "/nonexistent/models" }), { excludeTestServices: true })(
  "/api/v1/status without an admin token",
  (it) => {
    it.effect("shows a logger's token on this machine what the server has", () =>
      Effect.gen(function* () {
        const before = Date.now() / 1000
        const empty = decodeStatus((yield* get("/api/v1/status", bearer(testToken))).text)
        assert.strictEqual(empty.active_installations_30d, 0)
        assert.isNull(empty.store.last_submission)
        assert.deepStrictEqual(empty.models, [])

        const first = newHome([record(), record()])
        yield* accepted(first)
        yield* accepted(newHome([{ ...record(), temp_outside: "unplugged" }, null]))
        yield* accepted(first)
        const { status, text } = yield* get("/api/v1/status", bearer(testToken))
        assert.strictEqual(status, 200)
        const answer = decodeStatus(text)
        assert.strictEqual(answer.status, "online")
        assert.strictEqual(answer.active_installations_30d, 2)
        assert.deepInclude(answer.store, {
          ready: true,
          detail: null,
          installations: 2,
          blocks: 2,
          records: 3,
          samples: 5
        })
        assert.isAbove(answer.store.bytes_on_disk, 0)
        for (const seconds of [answer.timestamp, answer.store.last_submission]) {
          assert.isAtLeast(seconds!, before)
          assert.isAtMost(seconds!, Date.now() / 1000)
        }
      })
    )

    it.effect("counts one home once, in upper and in lower case", () =>
      Effect.gen(function* () {
        const count = Effect.map(
          get("/api/v1/status", bearer(testToken)),
          ({ text }) => decodeStatus(text).store.installations
        )
        const home = newHome([record()])
        const before = yield* count
        yield* accepted(home)
        yield* accepted({ ...home, installation_id: home.installation_id.toUpperCase(), data: [record()] })
        assert.strictEqual((yield* count) - before, 1)
      })
    )

    it.effect.each(["X-Forwarded-For", "Forwarded", "x-forwarded-for"])("is closed behind a proxy (%s)", (header) =>
      Effect.gen(function* () {
        for (const value of ["203.0.113.9", "127.0.0.1", "for=127.0.0.1", "::1"]) {
          const { status, text } = yield* get("/api/v1/status", { ...bearer(testToken), [header]: value })
          assert.strictEqual(status, 403)
          assert.deepStrictEqual(Object.keys(JSON.parse(text)), ["detail"])
        }
      })
    )

    it.effect("needs a token, and a right one", () =>
      Effect.gen(function* () {
        const missing = yield* get("/api/v1/status")
        assert.strictEqual(missing.status, 401)
        assert.match(missing.headers.get("www-authenticate") ?? "", /^Bearer/)
        assert.strictEqual((yield* get("/api/v1/status", bearer("wrong"))).status, 403)
      })
    )
  }
)

it.scopedLive("with an admin token, that alone opens /api/v1/status, from anywhere; it does not open submit", () =>
  Effect.gen(function* () {
    assert.strictEqual((yield* get("/api/v1/status", bearer(testToken))).status, 403)
    const proxied = { ...bearer(adminToken), "x-forwarded-for": "203.0.113.9" }
    assert.strictEqual((yield* get("/api/v1/status", proxied)).status, 200)
    assert.strictEqual((yield* refused(newHome([]), bearer(adminToken))).status, 403)
  }).pipe(Effect.provide(layerTestServer({ ADMIN_TOKEN: adminToken })))
)

it.scopedLive("every token of AUTH_TOKEN's comma list submits", () =>
  Effect.gen(function* () {
    for (const token of ["first-token-0123456789", "second-token-0123456789"]) {
      assert.strictEqual((yield* accepted(newHome([record()]), bearer(token))).processed, 1)
    }
    const both = "first-token-0123456789, second-token-0123456789"
    assert.strictEqual((yield* refused(newHome([record()]), bearer(both))).status, 401)
  }).pipe(Effect.provide(layerTestServer({ AUTH_TOKEN: "first-token-0123456789, second-token-0123456789," })))
)

it.scopedLive("/api/v1/status lists what can be downloaded from MODEL_DIR, without its path", () =>
  Effect.gen(function* () {
    const directory = yield* modelDirectory
    const { text } = yield* Effect.provide(
      get("/api/v1/status", bearer(testToken)),
      layerTestServer({ MODEL_DIR: directory })
    )
    assert.deepStrictEqual(decodeStatus(text).models, [
      {
        name: "AERO_SLM",
        filename: "AERO_SLM.enc",
        size_bytes: 10,
        hash: createHash("sha256").update("x".repeat(10)).digest("hex"),
        modified: 1_700_000_000,
        version: null,
        gate: null,
        signing_key_id: null
      }
    ])
    assert.isNull(decodeStatus(text).training)
    assert.notInclude(text, directory)
  })
)

it.scopedLive("without room on the disk the server is not ready, refuses submissions and says so; it lives", () => {
  const logs = captureLogs()
  return Effect.gen(function* () {
    assert.strictEqual((yield* get("/health")).status, 200)
    const ready = yield* get("/ready")
    assert.strictEqual(ready.status, 503)
    assert.match(ready.headers.get("retry-after") ?? "", /^\d+$/)
    assert.deepStrictEqual(Object.keys(JSON.parse(ready.text)), ["detail"])
    const home = newHome([record()])
    const { detail, headers, status } = yield* refused(home)
    assert.strictEqual(status, 503)
    assert.match(headers.get("retry-after") ?? "", /^\d+$/)
    assert.include(detail, "disk is nearly full")
    assert.deepStrictEqual(yield* stored(home.installation_id), [])
    assert.strictEqual((yield* (yield* Store).totals).blocks, 0)
    const answer = decodeStatus((yield* get("/api/v1/status", bearer(testToken))).text)
    assert.isFalse(answer.store.ready)
    assert.include(answer.store.detail ?? "", "disk is nearly full")
    assert.isTrue(logs.lines.some((line) => line.includes("refusing submissions")))
  }).pipe(Effect.provide(layerTestServer({ MIN_FREE_DISK_BYTES: String(2 ** 52) }, logs.layer)))
})
