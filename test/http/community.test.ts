import { randomUUID } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeContext } from "@effect/platform-node"
import { assert, it, layer } from "@effect/vitest"
import { Effect, Option, Redacted, Schema } from "effect"
import * as fc from "fast-check"
import { publish } from "../../src/artifact/Publish.js"
import { communityModel } from "../../src/artifact/Registry.js"
import { writeModel } from "../../src/artifact/RiverPickle.js"
import { InstallationId } from "../../src/domain/InstallationId.js"
import { Averages, ModelCheck, PoolStatus, PublishedModels } from "../../src/http/CommunityApi.js"
import { makeModelKeys } from "../../src/ModelKeys.js"
import { Store } from "../../src/store/Store.js"
import { blockOf } from "../support/blocks.js"
import { makeJumpingClock } from "../support/clock.js"
import { residualPipeline } from "../support/pipelines.js"
import { describeWithPython, runPython } from "../support/python.js"
import { accepted, baseUrl, layerTestServer, newHome, testToken } from "../support/testServer.js"

const made = makeModelKeys()
const keys = { encryption: Redacted.make(made.encryption), signing: Option.none() }
const pipeline = residualPipeline(3)
const pickle = writeModel({ heating: pipeline, cooling: pipeline, water: pipeline, standby: pipeline })
const publishAs = (directory: string, name: string, content: Uint8Array = pickle) =>
  publish({ name, pickle: content, gate: "skipped", metadata: null, metrics: null }, { directory, keys, keep: 5 }).pipe(
    Effect.provide(NodeContext.layer)
  )
const modelDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-community-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)
const bearer = { authorization: `Bearer ${testToken}` }
const get = Effect.fn("get")(function* (path: string, headers: Readonly<Record<string, string>> = bearer) {
  const base = yield* baseUrl
  return yield* Effect.promise(async () => {
    const response = await fetch(base + path, { headers })
    const bytes = Buffer.from(await response.arrayBuffer())
    return { status: response.status, headers: response.headers, bytes, text: bytes.toString() }
  })
})
const strict = { onExcessProperty: "error" } as const
const decodeCheck = Schema.decodeUnknownSync(Schema.parseJson(ModelCheck), strict)
const check = (id: string, more = "") =>
  Effect.map(get(`/api/v1/model/check?installation_id=${id}${more}`, {}), ({ status, text }) => {
    assert.strictEqual(status, 200, text)
    return decodeCheck(text)
  })
const home = (values: object = { temp_outside: 1 }, envelope = {}) =>
  newHome([{ timestamp: Date.now() / 1000 - 60, ...values }], envelope)
const enough = { MIN_INSTALLATIONS: "1", MIN_DATA_POINTS: "1" }

describeWithPython("an existing client in Python", () => {
  it.scopedLive("checks, downloads without its id, verifies, decrypts, unpickles and scores", () =>
    Effect.gen(function* () {
      const directory = yield* modelDirectory
      yield* publishAs(directory, "AERO SLM")
      yield* Effect.gen(function* () {
        const one = home()
        yield* accepted(one)
        const file = join(directory, "downloaded")
        const args = [yield* baseUrl, testToken, one.installation_id, made.encryption, file]
        const saw = yield* Effect.promise(() => runPython<Record<string, unknown>>("client.py", ...args))
        assert.deepInclude(saw, { early: 403, eligible: true, header: saw.hash, update_available: [true, false] })
        assert.deepStrictEqual(saw.types, new Array(4).fill("river.compose.pipeline.Pipeline"))
        const scores = Object.entries(saw.scores as object)
        assert.deepStrictEqual(
          scores.map(([mode]) => mode),
          ["heating", "cooling", "water", "standby"]
        )
        for (const [mode, score] of scores) assert.isTrue(score >= 0 && score <= 1, mode)
        assert.isTrue(readFileSync(file).equals(readFileSync(join(directory, "AERO_SLM.enc"))))
      }).pipe(Effect.provide(layerTestServer({ MODEL_DIR: directory, ...enough })))
    })
  )
})

it.scopedLive("downloads are conditional and in ranges; a grant is for one model, names lead nowhere else", () =>
  Effect.gen(function* () {
    const directory = yield* modelDirectory
    yield* publishAs(directory, "AERO SLM", Buffer.from("for AERO"))
    yield* publishAs(directory, communityModel, Buffer.from("for all"))
    yield* Effect.gen(function* () {
      const aero = home()
      const other = home({ temp_outside: 2 }, { heatpump_model: null })
      yield* accepted(aero)
      yield* accepted(other)
      const path = "/api/v1/model/download"
      const by = (id: string) => `${path}?installation_id=${id}`
      const whole = yield* get(by(aero.installation_id))
      assert.strictEqual(whole.status, 200)
      assert.isTrue(whole.bytes.equals(readFileSync(join(directory, "AERO_SLM.enc"))))
      const etag = whole.headers.get("etag")!
      assert.strictEqual(etag, `"${whole.headers.get("x-model-hash")}"`)
      assert.strictEqual(whole.headers.get("x-model-name"), "AERO_SLM")
      assert.strictEqual(whole.headers.get("content-length"), String(whole.bytes.length))
      assert.strictEqual((yield* get(by(other.installation_id))).headers.get("x-model-name"), communityModel)
      const ask = (headers: Readonly<Record<string, string>>) =>
        get(by(aero.installation_id), { ...bearer, ...headers })
      for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
        assert.deepInclude(yield* ask({ "if-none-match": tag }), { status: 304, text: "" })
      }
      const part = yield* ask({ range: "bytes=10-19" })
      assert.strictEqual(part.status, 206)
      assert.isTrue(part.bytes.equals(whole.bytes.subarray(10, 20)))
      assert.strictEqual(part.headers.get("content-range"), `bytes 10-19/${whole.bytes.length}`)
      assert.isTrue((yield* ask({ range: "bytes=-7" })).bytes.equals(whole.bytes.subarray(-7)))
      assert.isTrue((yield* ask({ range: "bytes=100-" })).bytes.equals(whole.bytes.subarray(100)))
      assert.strictEqual((yield* ask({ range: `bytes=${whole.bytes.length}-` })).status, 416)
      assert.strictEqual((yield* ask({ range: "bytes=0-1", "if-range": '"old"' })).status, 200)

      assert.strictEqual((yield* get(path)).status, 403)
      assert.strictEqual((yield* check(other.installation_id)).model_available, true)
      assert.strictEqual((yield* get(path)).headers.get("x-model-name"), communityModel)
      assert.strictEqual((yield* get(`${path}?model=AERO%20SLM`)).status, 403)
      yield* check(aero.installation_id)
      assert.strictEqual((yield* get(path)).headers.get("x-model-name"), "AERO_SLM")
      assert.strictEqual((yield* get(path, {})).status, 401)
      assert.strictEqual((yield* get(by(randomUUID()))).status, 403)

      for (const name of [
        "../../etc/passwd",
        "..%2F..%2Fetc",
        "a%00",
        "a%0A",
        "%C3%A9",
        "test/model",
        "",
        "x".repeat(200)
      ]) {
        for (const route of [
          `${by(aero.installation_id)}&model=${name}`,
          `/api/v1/model/check?installation_id=${randomUUID()}&model=${name}`,
          `/api/v1/community/averages?model=${name}`
        ]) {
          const { status, text } = yield* get(route)
          assert.deepStrictEqual([status, JSON.parse(text)], [400, { detail: "Invalid model name format" }], route)
        }
      }
      const models = Schema.decodeUnknownSync(
        Schema.parseJson(PublishedModels),
        strict
      )((yield* get("/api/v1/models")).text)
      assert.strictEqual(models.total, 2)
      assert.notInclude(JSON.stringify(models), directory)
      const refusedId = yield* get("/api/v1/model/check?installation_id=nobody")
      assert.deepInclude(refusedId, { status: 400, text: '{"detail":"Invalid installation_id format (must be UUID)"}' })
      assert.strictEqual((yield* get("/api/v1/model/check")).status, 422)
    }).pipe(Effect.provide(layerTestServer({ MODEL_DIR: directory, ...enough })))
  })
)

it.scopedLive(
  "31 days after its last data a home is not eligible, an hour after it is: also restarted and updated",
  () =>
    Effect.gen(function* () {
      const dataDir = yield* modelDirectory
      const nowMs = Date.now()
      const hourMs = 3_600_000
      const clock = makeJumpingClock(nowMs - 31 * 24 * hourMs)
      const ids = [randomUUID(), randomUUID()].map((id) => InstallationId.make(id))
      const server = layerTestServer({ DATA_DIR: dataDir, ...enough })
      const send = (id: InstallationId, version: string) =>
        Effect.gen(function* () {
          const data = [{ timestamp: clock.nowMs() / 1000 - 60, temp_outside: 1 }]
          const body = { installation_id: id, heatpump_model: "AERO SLM", version, data }
          yield* (yield* Store).append([yield* Effect.promise(() => blockOf(body, clock.nowMs()))])
        })
      yield* Effect.gen(function* () {
        yield* send(ids[0]!, "1.0.1")
        yield* send(ids[1]!, "1.0.1")
        yield* clock.jumpTo(nowMs - hourMs)
        yield* send(ids[1]!, "1.0.2")
      }).pipe(Effect.provide(server), Effect.withClock(clock.clock))
      yield* Effect.gen(function* () {
        const [old, recent, stranger] = [
          yield* check(ids[0]!),
          yield* check(ids[1]!.toUpperCase()),
          yield* check(randomUUID())
        ]
        assert.deepStrictEqual([old.eligible, recent.eligible, stranger.eligible], [false, true, false])
        assert.include(old.reason, "30 days")
        assert.deepInclude(recent, { model_available: false, hash: null, update_available: false })
        assert.strictEqual((yield* get(`/api/v1/model/download?installation_id=${ids[1]}`)).status, 404)
      }).pipe(Effect.provide(layerTestServer({ DATA_DIR: dataDir, ...enough })))
    })
)

layer(layerTestServer({ PRIVACY_MIN_GROUP: "3" }), { excludeTestServices: true })("the community", (it) => {
  it.effect("tells how much is missing, and of groups only their sums and quantiles", () =>
    Effect.gen(function* () {
      for (const [power_current, power_thermal] of [
        [1, 4],
        [2, 6],
        [4, 8]
      ])
        yield* accepted(home({ power_current, power_thermal }))
      yield* accepted(home({ temp_outside: 7 }))
      const pool = Schema.decodeUnknownSync(
        Schema.parseJson(PoolStatus),
        strict
      )((yield* get("/api/v1/pool/status", {})).text)
      assert.deepInclude(pool, { total_installations: 4, total_data_points: 4, data_sufficient: false })
      assert.match(pool.message, /^Building data pool\. Need 1 more installations and ~9,996 more data points\. /)
      const { text } = yield* get("/api/v1/community/averages?model=AERO_SLM&metrics=cop,power_current,temp_outside")
      const averages = Schema.decodeUnknownSync(Schema.parseJson(Averages), strict)(text)
      assert.deepStrictEqual(averages, {
        model: "AERO_SLM",
        window: "24h",
        // 18 kW of heat for 7 kW; of the ratios 2, 3 and 4 the quantiles.
        metrics: { cop: { avg: 2.57, min: 2.1, max: 3.9 }, power_current: { avg: 2.33, min: 1.1, max: 3.8 } },
        sample_size: 3,
        withheld: ["temp_outside"]
      })
      assert.match((yield* get("/api/v1/community/averages?model=X&metrics=a-b")).text, /Invalid metric name/)
    })
  )

  it.effect("answers every query string, and never with 500", () =>
    Effect.gen(function* () {
      const base = yield* baseUrl
      const name = fc.constantFrom("installation_id", "model", "metrics", "current_hash", "x")
      const value = fc.oneof(
        fc.string({ unit: "binary", maxLength: 20 }),
        fc.uuid(),
        fc.constantFrom("cop", "AERO SLM", "%", "%zz")
      )
      const encoded = fc
        .tuple(name, value, fc.boolean())
        .map(
          ([key, text, isRaw]) =>
            `${key}=${isRaw ? text.replaceAll(/[^!-~]|#/g, "") : encodeURIComponent(text.replaceAll(/[\ud800-\udfff]/g, ""))}`
        )
      const query = fc.array(encoded, { maxLength: 4 }).map((all) => all.join("&"))
      const path = fc.constantFrom("pool/status", "model/check", "model/download", "models", "community/averages")
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(path, query, async (path, query) => {
            const response = await fetch(`${base}/api/v1/${path}?${query}`, { headers: bearer })
            await response.arrayBuffer()
            assert.include([200, 400, 403, 404, 422], response.status, query)
          }),
          { numRuns: 300 }
        )
      )
    })
  )
})
