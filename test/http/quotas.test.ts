import { assert, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { recentPayload } from "../support/payloads.js"
import {
  accepted,
  baseUrl,
  captureLogs,
  layerTestServer,
  newHome,
  post,
  refused,
  stored
} from "../support/testServer.js"

const record = () => ({ timestamp: Date.now() / 1000, temp_outside: 1 })
/** As a proxy on this machine passes it on. */
const via = (client: string) => ({ "x-forwarded-for": client })
const get = (path: string, headers: Readonly<Record<string, string>> = {}) =>
  Effect.flatMap(baseUrl, (base) =>
    Effect.promise(async () => {
      const response = await fetch(base + path, { headers })
      await response.arrayBuffer()
      return response
    })
  )

layer(layerTestServer({ TRUSTED_PROXIES: "127.0.0.1", ADDRESS_REQUESTS_PER_HOUR: "60" }), {
  excludeTestServices: true
})("behind a trusted proxy", (it) => {
  it.effect("60 homes each have their own limit, whatever they claim; one that goes on and on is refused alone", () =>
    Effect.gen(function* () {
      const runaway = newHome([record()])
      for (let i = 0; i < 60; i++) yield* accepted(runaway, via(`198.51.100.1, 203.0.113.9`))
      for (const claimed of ["", "198.51.100.77, ", "127.0.0.1, ", "10.0.0.1, nobody, "]) {
        const { detail, headers, status } = yield* refused(runaway, via(`${claimed}203.0.113.9`))
        assert.strictEqual(status, 429)
        assert.include(detail, "from this address")
        assert.match(headers.get("retry-after") ?? "", /^[1-9]\d*$/)
      }
      for (let home = 1; home <= 60; home++) {
        const payload = newHome([record()])
        for (let posts = 0; posts < 9; posts++) yield* accepted(payload, via(`203.0.113.9, 192.0.2.${home}`))
      }
      assert.strictEqual((yield* get("/health", via("203.0.113.9"))).status, 200)
    })
  )

  it.effect("public pages, unknown addresses and guesses count; guesses most", () =>
    Effect.gen(function* () {
      const statuses = yield* Effect.replicateEffect(get("/ready", via("192.0.2.101")), 61)
      assert.deepStrictEqual(
        statuses.map(({ status }) => status),
        [...Array<number>(60).fill(200), 429]
      )
      const guess = Effect.map(
        post(newHome([]), { ...via("192.0.2.102"), authorization: "Bearer wrong-wrong-wrong-1" }),
        ({ status }) => status
      )
      assert.deepStrictEqual(yield* Effect.replicateEffect(guess, 8), [403, 403, 403, 403, 403, 403, 429, 429])
    })
  )

  it.effect("a proxy's request is never this machine's own", () =>
    Effect.gen(function* () {
      const status = (headers: Readonly<Record<string, string>>) =>
        Effect.map(
          get("/api/v1/status", { authorization: "Bearer a-token-of-the-tests-0123456789", ...headers }),
          (r) => r.status
        )
      assert.strictEqual(yield* status({}), 200)
      assert.strictEqual(yield* status(via("127.0.0.1")), 403)
      assert.strictEqual(yield* status({ forwarded: "for=127.0.0.1" }), 403)
    })
  )

  it.effect("HSTS where the proxy has TLS; the other headers always; nothing of versions", () =>
    Effect.gen(function* () {
      for (const path of ["/ready", "/nowhere", "/docs", "/openapi.json", "/api/v1/status"]) {
        const { headers } = yield* get(path, { ...via("192.0.2.103"), "x-forwarded-proto": "https" })
        assert.match(headers.get("strict-transport-security") ?? "", /^max-age=\d{7,}/, path)
        assert.strictEqual(headers.get("x-content-type-options"), "nosniff")
        for (const name of ["server", "x-powered-by", "access-control-allow-origin"]) assert.isNull(headers.get(name))
      }
      const plain = yield* get("/ready", { ...via("192.0.2.103"), "x-forwarded-proto": "http" })
      assert.isNull(plain.headers.get("strict-transport-security"))
      assert.strictEqual(plain.headers.get("x-frame-options"), "DENY")
    })
  )
})

layer(layerTestServer({ INSTALLATION_SAMPLES_PER_HOUR: "700000", INSTALLATION_UNKNOWN_FIELDS: "3" }), {
  excludeTestServices: true
})("one home", (it) => {
  it.effect(
    "that returns after 72 hours with real batches passes; what it goes on to send is refused, its neighbour not",
    () =>
      Effect.gen(function* () {
        const payload = recentPayload("flat500")
        for (let post = 0; post < 9; post++) {
          const data = payload.data.slice(0, 480).map((r) => ({ ...r, timestamp: r.timestamp - post * 28_800 }))
          assert.strictEqual((yield* accepted({ ...payload, data })).processed, 480)
        }
        const { detail, headers, status } = yield* Effect.iterate(yield* refusedOr200(payload), {
          while: ({ status }) => status === 200,
          body: () => refusedOr200(payload)
        })
        assert.strictEqual(status, 429)
        assert.include(detail, "samples of this installation")
        assert.isAtMost(Number(headers.get("retry-after")), 3600)
        // Meanwhile another one returns, while the first goes on.
        const other = { ...payload, installation_id: newHome([]).installation_id }
        for (let post = 0; post < 9; post++) {
          const data = payload.data.slice(0, 480).map((r) => ({ ...r, timestamp: r.timestamp - post * 28_800 }))
          assert.strictEqual((yield* accepted({ ...other, data })).processed, 480)
          assert.strictEqual((yield* refusedOr200(payload)).status, 429)
        }
      })
  )

  it.effect("may use so many fields that nobody knows; more are dropped and counted, never their neighbours", () =>
    Effect.gen(function* () {
      const fields = (...names: ReadonlyArray<string>) => ({
        ...record(),
        ...Object.fromEntries(names.map((n) => [n, 1]))
      })
      const home = newHome([fields("a", "b", "c", "d")])
      const first = yield* accepted(home)
      assert.deepInclude(first, {
        processed: 1,
        fields_dropped: 1,
        errors: [{ index: 0, code: "too_many_fields", field: "d" }]
      })
      const second = yield* accepted({
        ...home,
        data: [fields("e", "a", "temp_water_heater_top"), { timestamp: Date.now() / 1000, f: 1 }]
      })
      assert.deepInclude(second, { processed: 1, rejected: 1, fields_dropped: 2 })
      const names = new Set((yield* stored(home.installation_id)).flatMap(({ values }) => Object.keys(values)))
      assert.deepStrictEqual([...names].sort(), ["a", "b", "c", "temp_outside", "temp_water_heater_top"])
      yield* accepted(newHome([fields("x", "y", "z")]))
    })
  )
})

const refusedOr200 = (body: unknown) =>
  Effect.map(post(body), ({ headers, status, text }) => ({ status, headers, detail: JSON.parse(text).detail ?? "" }))

it.scopedLive("without a trusted proxy nothing said changes who is counted, and the log tells, once", () => {
  const logs = captureLogs()
  return Effect.gen(function* () {
    for (let i = 0; i < 10; i++) yield* get("/ready", via(`192.0.2.${i}`))
    const over = yield* get("/ready", { ...via("192.0.2.200"), forwarded: "for=192.0.2.201" })
    assert.strictEqual(over.status, 429)
    const warnings = logs.lines.filter((line) => line.includes("TRUSTED_PROXIES"))
    assert.strictEqual(warnings.length, 2)
    assert.include(warnings[0], "listening beyond this machine")
    assert.include(warnings[1], "count as one address")
  }).pipe(Effect.provide(layerTestServer({ HOST: "0.0.0.0", ADDRESS_REQUESTS_PER_HOUR: "10" }, logs.layer)))
})
