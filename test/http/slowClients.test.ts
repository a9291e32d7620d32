import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule } from "effect"
import { accepted, captureLogs, layerTestServer, newHome, refused, serverPort } from "../support/testServer.js"
import { head, openWire, submitHead, type Wire } from "../support/wire.js"

const record = () => ({ timestamp: Date.now() / 1000, temp_outside: 1 })
const timeouts = { HEADERS_TIMEOUT_SECONDS: "1", REQUEST_TIMEOUT_SECONDS: "3" }
/** Longer than any limit here, so that what goes beyond it has no limit. */
const deadline = "30 seconds"

/** Sends `bytes`, and `trickle` again and again, until it is answered 408 with its sentence and the connection ends. */
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
    const answer = yield* Effect.raceFirst(wire.answer, drip)
    assert.strictEqual(answer?.status, 408)
    assert.deepStrictEqual(JSON.parse(answer!.body), { detail: "The request took too long to arrive" })
    yield* wire.closed
  }).pipe(Effect.scoped, Effect.timeout(deadline))

describe.concurrent("slow clients", () => {
  it.scopedLive("slow clients are answered 408 and closed, heads before bodies, and delay nobody", () => {
    const logs = captureLogs()
    return Effect.gen(function* () {
      const port = yield* serverPort
      const body = submitHead({ "content-length": 1_000 })
      const chunked = submitHead({ "transfer-encoding": "chunked" })
      /** In the order in which it happened. */
      const events: Array<"served" | "slow head" | "slow body"> = []
      const noting = <A, E, R>(event: (typeof events)[number], effect: Effect.Effect<A, E, R>) =>
        Effect.tap(effect, () => Effect.sync(() => events.push(event)))
      const slow = Effect.all(
        [
          noting("slow head", cutOff(port, "", "")),
          noting("slow head", cutOff(port, head("POST /api/v1/submit").slice(0, -2), "x")),
          noting("slow head", cutOff(port, "GET /health HTTP/1.1\r\n", "x-more: 1\r\n")),
          noting("slow body", cutOff(port, body, "")),
          noting("slow body", cutOff(port, `${body}{`, " ")),
          noting("slow body", cutOff(port, chunked, "1\r\n{\r\n"))
        ],
        { concurrency: "unbounded" }
      )
      /** Homes that submit all the while. */
      const quick = Effect.forever(
        Effect.zipLeft(noting("served", accepted(newHome([record()]))), Effect.sleep("50 millis"))
      )
      yield* Effect.raceFirst(slow, quick)
      assert.deepStrictEqual(
        events.filter((event) => event !== "served"),
        ["slow head", "slow head", "slow head", "slow body", "slow body", "slow body"]
      )
      assert.isBelow(events.indexOf("served"), events.indexOf("slow body"))
      assert.isFalse(logs.lines.some((line) => line.includes("BUG:")))
    }).pipe(Effect.provide(layerTestServer(timeouts, logs.layer)))
  })

  it.scopedLive("a request timeout below the headers' bounds the headers too", () =>
    Effect.flatMap(serverPort, (port) => cutOff(port, "GET /health HTTP/1.1\r\n", "")).pipe(
      Effect.provide(layerTestServer({ REQUEST_TIMEOUT_SECONDS: "1", HEADERS_TIMEOUT_SECONDS: "3600" }))
    )
  )

  it.scopedLive("one connection more than MAX_CONNECTIONS: the one waiting longest gives way, then a slow one", () =>
    Effect.gen(function* () {
      const port = yield* serverPort
      const isServed = Effect.fnUntraced(function* (wire: Wire) {
        wire.send(head("GET /health"))
        assert.strictEqual((yield* wire.answer)?.status, 200)
      })
      const [silent, idle, half] = [yield* openWire(port), yield* openWire(port), yield* openWire(port)]
      half.send("GET /heal")
      yield* isServed(idle)
      const first = yield* openWire(port)
      yield* Effect.timeout(silent.closed, deadline)
      yield* isServed(first)
      const second = yield* openWire(port)
      yield* Effect.timeout(half.closed, deadline)
      assert.isTrue(idle.isOpen(), "it has waited since its answer only")
      // From here on all are busy: bodies that do not come.
      for (const wire of [idle, first, second]) wire.send(`${submitHead({ "content-length": 1_000 })}{`)
      yield* Effect.sleep("100 millis")
      const late = yield* openWire(port)
      yield* Effect.timeout(late.closed, deadline)
      for (const wire of [idle, first, second]) assert.isTrue(wire.isOpen(), "none is slow yet")
      first.send(" ".repeat(998))
      yield* Effect.sleep("1 second")
      yield* isServed(yield* openWire(port))
      yield* Effect.sleep("200 millis")
      assert.isTrue(first.isOpen())
      assert.strictEqual([idle, second].filter((wire) => wire.isOpen()).length, 1)
    }).pipe(Effect.scoped, Effect.provide(layerTestServer({ MAX_CONNECTIONS: "3" })))
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
      // Each held the whole budget: had one not given it back, this would be refused.
      assert.strictEqual((yield* accepted(newHome([record()]))).processed, 1)
      assert.isFalse(logs.lines.some((line) => line.includes("BUG:")))
    }).pipe(Effect.provide(layerTestServer({ MAX_BODY_BYTES: "100000", MAX_IN_FLIGHT_BYTES: "100000" }, logs.layer)))
  })

  /** A chunked body may become any size up to `MAX_BODY_BYTES`, so here one takes the whole budget once it moves. */
  const narrow = { MAX_BODY_BYTES: "1000000", MAX_IN_FLIGHT_BYTES: "1000000" }
  const large = () => `${JSON.stringify(newHome([]))}${" ".repeat(200_000)}`
  const chunk = (bytes: number) => `${bytes.toString(16)}\r\n${" ".repeat(bytes)}\r\n`

  it.scopedLive("429 with Retry-After once the bytes in flight are taken for 15 seconds; the next one is served", () =>
    Effect.gen(function* () {
      const port = yield* serverPort
      const hoarder = yield* openWire(port)
      hoarder.send(submitHead({ "transfer-encoding": "chunked" }) + chunk(900_000))
      const trickle = Effect.sync(() => hoarder.send(chunk(5_000)))
      const hoarding = yield* Effect.fork(Effect.schedule(trickle, Schedule.spaced("1 second")))
      yield* Effect.sleep("1 second")
      const { detail, headers, status } = yield* refused(large())
      assert.strictEqual(status, 429)
      assert.match(headers.get("retry-after") ?? "", /^\d+$/)
      assert.include(detail, "Too many submissions at once")
      yield* Fiber.interrupt(hoarding)
      hoarder.send("0\r\n\r\n")
      assert.strictEqual((yield* hoarder.answer)?.status, 400)
      assert.strictEqual((yield* accepted(newHome([]))).processed, 0)
    }).pipe(Effect.scoped, Effect.provide(layerTestServer(narrow)))
  )

  it.scopedLive("a body that stalls gives its place to others: 408", () =>
    Effect.gen(function* () {
      const port = yield* serverPort
      const announced = yield* openWire(port)
      announced.send(submitHead({ "content-length": 900_000 }))
      yield* Effect.sleep("1 second")
      assert.strictEqual((yield* accepted(large())).processed, 0)
      const stalled = yield* openWire(port)
      stalled.send(submitHead({ "transfer-encoding": "chunked" }) + chunk(800_000))
      yield* Effect.sleep("1 second")
      assert.strictEqual((yield* accepted(newHome([]))).processed, 0, "small ones find room")
      const [answer, result] = yield* Effect.all([stalled.answer, accepted(large())], { concurrency: 2 })
      assert.strictEqual(answer?.status, 408)
      assert.include(answer?.body, "too slowly")
      assert.strictEqual(result.processed, 0)
      assert.isTrue(announced.isOpen(), "it takes no place")
    }).pipe(Effect.scoped, Effect.timeout(deadline), Effect.provide(layerTestServer(narrow)))
  )
})
