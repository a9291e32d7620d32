import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { accepted, captureLogs, layerTestServer, newHome, serverPort, stored } from "../support/testServer.js"
import { type Answer, head, openWire, submitHead } from "../support/wire.js"

const secret = "xK9secretQ7"

/** The sentence that must be all there is in the body of an error. */
const detailOf = (answer: Answer | undefined): string => {
  assert.isDefined(answer, "the connection ended without an answer")
  assert.match(answer!.headers.get("content-type") ?? "", /^application\/json/)
  const body: Record<string, unknown> = JSON.parse(answer!.body)
  assert.deepStrictEqual(Object.keys(body), ["detail"])
  assert.isString(body.detail)
  const detail = String(body.detail)
  assert.match(detail, /^[A-Z]/)
  assert.notInclude(detail, secret)
  assert.notMatch(detail, /https?:|node_modules|\.[tj]s\b|\n/)
  return detail
}

/** Sends the bytes as they are and waits for the answer. */
const exchange = (bytes: string) =>
  Effect.gen(function* () {
    const wire = yield* openWire(yield* serverPort)
    wire.send(bytes)
    return yield* Effect.timeout(wire.answer, "3 seconds")
  }).pipe(Effect.scoped)

const logs = captureLogs()

layer(layerTestServer({}, logs.layer), { excludeTestServices: true })("every error is a sentence in JSON", (it) => {
  it.effect.each<readonly [status: number, name: string, bytes: string]>([
    [400, "no HTTP", `${secret}\r\n\r\n`],
    [400, "a bad header", `GET /health HTTP/1.1\r\nhost: x\r\n${secret} : 1\r\n\r\n`],
    [400, "both lengths", `${submitHead({ "content-length": 3, "transfer-encoding": "chunked" })}0\r\n\r\n`],
    [400, "two lengths", submitHead({ "content-length": "3, 4" })],
    [400, "a length that is no number", submitHead({ "content-length": secret })],
    [400, "a damaged chunk", `${submitHead({ "transfer-encoding": "chunked" })}${secret}\r\n`],
    [400, "no JSON", `${submitHead({ "content-length": secret.length })}${secret}`],
    [401, "no token", submitHead({ authorization: undefined, "content-length": 0 })],
    [403, "a wrong token", submitHead({ authorization: `Bearer ${secret}`, "content-length": 0 })],
    [404, "an unknown address", head(`GET /${secret}?${secret}=${secret}`)],
    [404, "an address that is not UTF-8", head(`GET /%ff${secret}`)],
    [404, "an address with a broken escape", head(`GET /%zz${secret}`)],
    [404, "an address that climbs", head(`GET /../${secret}`)],
    [404, "the root", head("GET /")],
    [404, "an asterisk", head("OPTIONS *")],
    [405, "another method", head("DELETE /api/v1/submit")],
    [411, "no body", submitHead()],
    [413, "a long body", submitHead({ "content-length": 1e12 })],
    [415, "another type", submitHead({ "content-type": secret, "content-length": 1 })],
    [417, "an expectation it does not know", submitHead({ expect: secret, "content-length": 1 })],
    [422, "no submission", `${submitHead({ "content-length": 2 })}{}`],
    [431, "long headers", head("GET /health", { "x-long": secret.repeat(2_000) })],
    [
      431,
      "many headers",
      head("GET /health", Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`x${i}`, i])))
    ]
  ])("%i: %s", ([status, , bytes]) =>
    Effect.gen(function* () {
      const answer = yield* exchange(String(bytes))
      assert.strictEqual(answer?.status, status)
      detailOf(answer)
      assert.strictEqual(answer!.headers.has("www-authenticate"), status === 401)
    })
  )

  it.effect("a request without Host is answered, or refused with a sentence", () =>
    Effect.gen(function* () {
      const answer = yield* exchange(`GET /health?${secret} HTTP/1.1\r\n\r\n`)
      if (answer?.status === 200) assert.strictEqual(answer.body, '{"status":"ok"}')
      else detailOf(answer)
    })
  )

  const allowed = {
    "/api/v1/submit": "POST",
    "/api/v1/status": "GET, HEAD",
    "/health": "GET, HEAD",
    "/ready": "GET, HEAD",
    "/docs": "GET, HEAD",
    "/openapi.json": "GET, HEAD"
  }
  it.effect.each(Object.entries(allowed))("405 of %s says what is allowed", ([path, allow]) =>
    Effect.gen(function* () {
      for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
        if (allow!.includes(method)) continue
        const answer = yield* exchange(head(`${method} ${path}?x=1`, { "content-length": 0 }))
        assert.deepStrictEqual([answer?.status, answer?.headers.get("allow")], [405, allow])
        detailOf(answer)
      }
    })
  )

  it.scoped("a refused request does not cost the connection", () =>
    Effect.gen(function* () {
      const wire = yield* openWire(yield* serverPort)
      const home = newHome([{ timestamp: Date.now() / 1000, temp_outside: 1 }])
      const post = (body: string) => submitHead({ "content-length": body.length }) + body
      for (const [bytes, status] of [
        [post("nonsense"), 400],
        [post("{}"), 422],
        [head("GET /nothing/here"), 404],
        [head("DELETE /health"), 405],
        [head("GET /api/v1/status"), 401],
        [post(JSON.stringify(home)), 200]
      ] as const) {
        wire.send(bytes)
        assert.strictEqual((yield* Effect.timeout(wire.answer, "2 seconds"))?.status, status)
      }
      assert.lengthOf(yield* stored(home.installation_id), 1)
    })
  )

  it.effect("requests that offer another protocol are answered in this one, body and all", () =>
    Effect.gen(function* () {
      const offer = { connection: "Upgrade, HTTP2-Settings", upgrade: "h2c", "http2-settings": "AAMAAABkAAQ" }
      assert.strictEqual((yield* exchange(head("GET /health", offer)))?.body, '{"status":"ok"}')
      detailOf(yield* exchange(head(`GET /${secret}`, offer)))
      const body = JSON.stringify(newHome([{ timestamp: Date.now() / 1000, temp_outside: 1 }]))
      const answer = yield* exchange(submitHead({ ...offer, "content-length": body.length }) + body)
      assert.strictEqual(answer?.status, 200)
    })
  )

  it.effect("submissions that come in bytes and in pipelines are stored like any other", () =>
    Effect.gen(function* () {
      const homes = [1, 2, 3].map((value) => newHome([{ timestamp: Date.now() / 1000, temp_outside: value }]))
      const bytes = homes
        .map((home) => JSON.stringify(home))
        .map((body) => submitHead({ "content-length": body.length }) + body)
        .join("")
      const wire = yield* openWire(yield* serverPort)
      const half = Math.floor(bytes.length / 2)
      for (const part of [bytes.slice(0, 10), bytes.slice(10, half), bytes.slice(half)]) {
        wire.send(part)
        yield* Effect.sleep("20 millis")
      }
      for (const home of homes) {
        assert.strictEqual((yield* Effect.timeout(wire.answer, "2 seconds"))?.status, 200)
        assert.lengthOf(yield* stored(home.installation_id), 1)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("none of all this was a mistake of the server's own", () =>
    Effect.gen(function* () {
      yield* accepted(newHome([]))
      assert.deepStrictEqual(
        logs.lines.filter((line) => line.includes("BUG:") || line.includes(secret)),
        []
      )
    })
  )
})
