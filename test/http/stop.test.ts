import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { captureLogs, layerTestServer, newHome, serverPort, stored } from "../support/testServer.js"
import { head, openWire, submitHead } from "../support/wire.js"

const home = () => newHome([{ timestamp: Date.now() / 1000, temp_outside: 21.5 }])

const dataDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-stop-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)

/** A server that is stopped in the middle of a test. */
const startServer = Effect.fn("startServer")(function* (
  settings: Readonly<Record<string, string>>,
  logs: Layer.Layer<never> = captureLogs().layer
) {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(layerTestServer(settings, logs), scope)
  return {
    port: yield* Effect.provide(serverPort, context),
    /** Begins to stop; await the fiber for the end of it. */
    stop: Effect.fork(Effect.timed(Scope.close(scope, Exit.void)))
  }
})

const seconds = <A>([took]: readonly [Duration.Duration, A]) => Duration.toSeconds(took)

it.scopedLive("a stop finishes the submission in flight: answered 200, and in the store afterwards", () =>
  Effect.gen(function* () {
    const DATA_DIR = yield* dataDirectory
    const { port, stop } = yield* startServer({ DATA_DIR })
    const wire = yield* openWire(port)
    const submission = home()
    const body = JSON.stringify(submission)
    wire.send(submitHead({ "content-length": body.length }) + body.slice(0, 50))
    yield* Effect.sleep("100 millis")
    const stopping = yield* stop
    yield* Effect.sleep("300 millis")
    wire.send(body.slice(50))
    const answer = yield* Effect.timeout(wire.answer, "2 seconds")
    assert.strictEqual(answer?.status, 200)
    assert.strictEqual(JSON.parse(answer!.body).processed, 1)
    assert.isBelow(seconds(yield* Fiber.join(stopping)), 2)
    const records = yield* Effect.provide(stored(submission.installation_id), layerTestServer({ DATA_DIR }))
    assert.deepStrictEqual(
      records.map(({ values }) => values),
      [{ temp_outside: 21.5 }]
    )
  })
)

it.scopedLive("while it stops, new connections are refused and open ones are answered 503 with Retry-After", () =>
  Effect.gen(function* () {
    const { port, stop } = yield* startServer({ SHUTDOWN_GRACE_SECONDS: "3" })
    const body = JSON.stringify(home())
    const [busy, second] = [yield* openWire(port), yield* openWire(port)]
    for (const wire of [busy, second]) wire.send(submitHead({ "content-length": body.length }) + body.slice(0, 50))
    yield* Effect.sleep("100 millis")
    const stopping = yield* stop
    yield* Effect.sleep("200 millis")
    const late = yield* Effect.either(openWire(port))
    assert.strictEqual(late._tag, "Left")
    // The rest of the first, and right behind it another on the same connection.
    busy.send(body.slice(50) + submitHead({ "content-length": body.length }) + body)
    assert.strictEqual((yield* Effect.timeout(busy.answer, "1 second"))?.status, 200)
    const refusal = yield* Effect.timeout(busy.answer, "1 second")
    if (refusal !== undefined) {
      assert.strictEqual(refusal.status, 503)
      assert.match(refusal.headers.get("retry-after") ?? "", /^\d+$/)
      assert.strictEqual(refusal.headers.get("connection"), "close")
      assert.deepStrictEqual(Object.keys(JSON.parse(refusal.body)), ["detail"])
    }
    yield* Effect.timeout(busy.closed, "1 second")
    second.send(body.slice(50))
    assert.strictEqual((yield* Effect.timeout(second.answer, "1 second"))?.status, 200)
    assert.isBelow(seconds(yield* Fiber.join(stopping)), 2)
  })
)

it.scopedLive("idle keep-alive connections do not delay a stop", () =>
  Effect.gen(function* () {
    const { port, stop } = yield* startServer({})
    const wires = yield* Effect.forEach([1, 2, 3], () => openWire(port))
    for (const wire of wires) {
      wire.send(head("GET /health"))
      assert.strictEqual((yield* wire.answer)?.status, 200)
    }
    assert.isBelow(seconds(yield* Effect.flatMap(stop, Fiber.join)), 1)
    for (const wire of wires) yield* Effect.timeout(wire.closed, "1 second")
  })
)

it.scopedLive("stalled connections hold a stop no longer than SHUTDOWN_GRACE_SECONDS", () => {
  const logs = captureLogs()
  return Effect.gen(function* () {
    const DATA_DIR = yield* dataDirectory
    const { port, stop } = yield* startServer({ DATA_DIR, SHUTDOWN_GRACE_SECONDS: "1" }, logs.layer)
    const complete = home()
    const body = JSON.stringify(complete)
    for (const bytes of [
      "",
      "GET /health HT",
      head("GET /health").slice(0, -2),
      submitHead({ "content-length": 1_000 }),
      `${submitHead({ "transfer-encoding": "chunked" })}1\r\n{\r\n`,
      submitHead({ authorization: undefined, "content-length": 1_000 }),
      submitHead({ "content-length": body.length + 1 }) + body
    ]) {
      const wire = yield* openWire(port, { allowHalfOpen: true })
      wire.send(bytes)
    }
    yield* Effect.sleep("100 millis")
    const took = seconds(yield* Effect.flatMap(stop, Fiber.join))
    assert.isAtLeast(took, 0.9)
    assert.isBelow(took, 2)
    assert.isFalse(logs.lines.some((line) => line.includes("BUG:")))
    const records = yield* Effect.provide(stored(complete.installation_id), layerTestServer({ DATA_DIR }))
    assert.deepStrictEqual(records, [], "a body that was cut off is not stored")
  })
})

it.scopedLive("submissions that race with a stop are stored when answered 200, and only then", () =>
  Effect.gen(function* () {
    const DATA_DIR = yield* dataDirectory
    const { port, stop } = yield* startServer({ DATA_DIR })
    const outcomes = yield* Effect.forEach(
      Array.from({ length: 40 }, (_, i) => i),
      (i) =>
        Effect.gen(function* () {
          yield* Effect.sleep(Duration.millis(i * 5))
          const submission = home()
          const body = JSON.stringify(submission)
          const answer = yield* Effect.scoped(
            Effect.flatMap(openWire(port), (wire) => {
              wire.send(submitHead({ "content-length": body.length }) + body)
              return Effect.timeout(wire.answer, "5 seconds")
            })
          ).pipe(Effect.orElseSucceed(() => undefined))
          return { status: answer?.status, installationId: submission.installation_id }
        }),
      { concurrency: "unbounded" }
    ).pipe(
      Effect.zipLeft(Effect.zipRight(Effect.sleep("100 millis"), Effect.flatMap(stop, Fiber.join)), {
        concurrent: true
      })
    )
    const answered = outcomes.filter(({ status }) => status === 200)
    assert.isNotEmpty(answered)
    assert.isBelow(answered.length, outcomes.length)
    yield* Effect.forEach(outcomes, ({ installationId, status }) =>
      Effect.map(stored(installationId), (records) => assert.lengthOf(records, status === 200 ? 1 : 0))
    ).pipe(Effect.provide(layerTestServer({ DATA_DIR })))
  })
)
