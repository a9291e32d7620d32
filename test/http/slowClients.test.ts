import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { accepted, captureLogs, layerTestServer, newHome, refused, serverPort } from "../support/testServer.js"
import { head, openWire, submitHead } from "../support/wire.js"

const record = () => ({ timestamp: Date.now() / 1000, temp_outside: 1 })
const timeouts = { HEADERS_TIMEOUT_SECONDS: "1", REQUEST_TIMEOUT_SECONDS: "2" }

/** Waits for a 408 with its sentence and the end of the connection; how long it took. */
const cutOff = (port: number, bytes: string, trickle: string) =>
  Effect.gen(function* () {
    const wire = yield* openWire(port)
    wire.send(bytes)
    const drip = Effect.forever(
      Effect.zipRight(
        Effect.sleep("200 millis"),
        Effect.sync(() => wire.send(trickle))
      )
    )
    const [took, answer] = yield* Effect.timed(Effect.raceFirst(wire.answer, drip))
    assert.strictEqual(answer?.status, 408)
    assert.deepStrictEqual(JSON.parse(answer!.body), { detail: "The request took too long to arrive" })
    yield* Effect.timeout(wire.closed, "1 second")
    return Duration.toSeconds(took)
  }).pipe(Effect.scoped, Effect.timeout("8 seconds"))

describe.concurrent("slow clients", () => {
  it.scopedLive("slow clients are answered 408 and closed, and delay nobody", () => {
    const logs = captureLogs()
    return Effect.gen(function* () {
      const port = yield* serverPort
      const chunked = submitHead({ "transfer-encoding": "chunked" })
      const slow = Effect.all(
        {
          silent: cutOff(port, "", ""),
          halfHeader: cutOff(port, head("POST /api/v1/submit").slice(0, -2), "x"),
          trickledHeader: cutOff(port, "GET /health HTTP/1.1\r\n", "x-more: 1\r\n"),
          stalledBody: cutOff(port, submitHead({ "content-length": 1_000 }), ""),
          trickledBody: cutOff(port, `${submitHead({ "content-length": 1_000 })}{`, " "),
          trickledChunks: cutOff(port, chunked, "1\r\n{\r\n")
        },
        { concurrency: "unbounded" }
      )
      /** Homes that submit all the while. */
      const quick = Effect.forEach(Array.from({ length: 15 }), () =>
        Effect.timed(accepted(newHome([record()]))).pipe(
          Effect.map(([took]) => Duration.toMillis(took)),
          Effect.tap(Effect.sleep("100 millis"))
        )
      )
      const [seconds, millis] = yield* Effect.all([slow, quick], { concurrency: "unbounded" })
      assert.isBelow(Math.max(...millis), 500)
      for (const took of [seconds.silent, seconds.halfHeader, seconds.trickledHeader]) {
        assert.isAtLeast(took, 1)
        assert.isBelow(took, 3)
      }
      for (const took of [seconds.stalledBody, seconds.trickledBody, seconds.trickledChunks]) {
        assert.isAtLeast(took, 2)
        assert.isBelow(took, 4)
      }
      assert.isFalse(logs.lines.some((line) => line.includes("BUG:")))
    }).pipe(Effect.provide(layerTestServer(timeouts, logs.layer)))
  })

  it.scopedLive("a request timeout below the headers' default bounds the headers too", () =>
    Effect.gen(function* () {
      const took = yield* cutOff(yield* serverPort, "GET /health HTTP/1.1\r\n", "")
      assert.isBelow(took, 3)
    }).pipe(Effect.provide(layerTestServer({ REQUEST_TIMEOUT_SECONDS: "1" })))
  )

  it.scopedLive("more connections than MAX_CONNECTIONS are turned away, and served once there is room", () =>
    Effect.gen(function* () {
      const port = yield* serverPort
      yield* Effect.scoped(
        Effect.gen(function* () {
          const first = yield* openWire(port)
          const second = yield* openWire(port)
          const third = yield* openWire(port)
          third.send(head("GET /health"))
          yield* Effect.timeout(third.closed, "2 seconds")
          for (const wire of [first, second]) {
            wire.send(head("GET /health"))
            assert.strictEqual((yield* wire.answer)?.status, 200)
          }
        })
      )
      yield* Effect.sleep("100 millis")
      const next = yield* openWire(port)
      next.send(head("GET /health"))
      assert.strictEqual((yield* next.answer)?.status, 200)
    }).pipe(Effect.scoped, Effect.provide(layerTestServer({ MAX_CONNECTIONS: "2" })))
  )

  it.scopedLive("a client that hangs up while it sends costs no one else anything", () => {
    const logs = captureLogs()
    return Effect.gen(function* () {
      const port = yield* serverPort
      for (let i = 0; i < 20; i++) {
        yield* Effect.scoped(
          Effect.flatMap(openWire(port), (wire) => {
            wire.send(`${submitHead({ "transfer-encoding": "chunked" })}5\r\n{"dat`)
            return Effect.sleep("10 millis")
          })
        )
      }
      // Each held the whole budget: had one not given it back, this would wait for 15 seconds and fail.
      const [took, result] = yield* Effect.timed(accepted(newHome([record()])))
      assert.strictEqual(result.processed, 1)
      assert.isBelow(Duration.toSeconds(took), 5)
      assert.isFalse(logs.lines.some((line) => line.includes("BUG:")))
    }).pipe(Effect.provide(layerTestServer({ MAX_BODY_BYTES: "100000", MAX_IN_FLIGHT_BYTES: "100000" }, logs.layer)))
  })

  /** A chunked body may become any size up to `MAX_BODY_BYTES`, so here one takes the whole budget. */
  const narrow = { MAX_BODY_BYTES: "1000000", MAX_IN_FLIGHT_BYTES: "1000000" }

  it.scopedLive("429 with Retry-After once the bytes in flight are taken for 15 seconds; the next one is served", () =>
    Effect.gen(function* () {
      const port = yield* serverPort
      const hoarder = yield* openWire(port)
      hoarder.send(submitHead({ "transfer-encoding": "chunked" }))
      yield* Effect.sleep("100 millis")
      const [took, { detail, headers, status }] = yield* Effect.timed(refused(newHome([])))
      assert.strictEqual(status, 429)
      assert.match(headers.get("retry-after") ?? "", /^\d+$/)
      assert.include(detail, "Too many submissions at once")
      assert.isBelow(Duration.toSeconds(took), 20)
      hoarder.send("0\r\n\r\n")
      assert.strictEqual((yield* hoarder.answer)?.status, 400)
      assert.strictEqual((yield* accepted(newHome([]))).processed, 0)
    }).pipe(Effect.scoped, Effect.provide(layerTestServer(narrow)))
  )
})
