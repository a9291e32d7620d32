import { IncomingMessage } from "node:http"
import { Socket } from "node:net"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Either, Fiber } from "effect"
import { makeInFlight } from "../../src/pipeline/InFlight.js"
import { makeJumpingClock } from "../support/clock.js"

const body = new IncomingMessage(new Socket())
const megabyte = 1024 * 1024

it.live("a clock that is set ahead makes nobody wait longer", () => {
  const { clock, jumpTo, nowMs } = makeJumpingClock(1_764_000_000_000)
  return Effect.gen(function* () {
    const { hold } = makeInFlight(megabyte)
    const done = yield* Deferred.make<void>()
    const taken = yield* Deferred.make<void>()
    const first = yield* Effect.fork(
      hold(body, (room) => {
        assert.isTrue(room(megabyte, () => {}))
        return Effect.zipRight(Deferred.succeed(taken, undefined), Deferred.await(done))
      })
    )
    yield* Deferred.await(taken)
    const second = yield* Effect.fork(
      Effect.either(
        hold(body, (room) =>
          Effect.async<void>((resume) => {
            assert.isFalse(room(megabyte, () => resume(Effect.void)))
          })
        )
      )
    )
    const pass = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 50)))
    yield* pass
    yield* jumpTo(nowMs() + 3_600_000)
    yield* pass
    yield* Deferred.succeed(done, undefined)
    yield* Fiber.join(first)
    assert.isTrue(Either.isRight(yield* Fiber.join(second)))
  }).pipe(Effect.withClock(clock))
})

/** Everything that can go on has done so. */
const settled = Effect.promise(async () => {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
})

it.live(
  "heavy bodies are worked on one at a time, those of loggers eight at a time, and none waits for the others",
  () =>
    Effect.gen(function* () {
      const { inTurn } = makeInFlight(megabyte)
      const running = { heavy: 0, light: 0 }
      const ended = { heavy: 0, light: 0 }
      const gates = { heavy: yield* Effect.makeSemaphore(0), light: yield* Effect.makeSemaphore(0) }
      const work = (kind: "heavy" | "light", bytes: number) =>
        inTurn(
          bytes,
          Effect.gen(function* () {
            running[kind]++
            yield* gates[kind].take(1)
            running[kind]--
            ended[kind]++
          })
        ).pipe(Effect.fork)
      for (let i = 0; i < 3; i++) yield* work("heavy", 5 * megabyte + 1)
      for (let i = 0; i < 20; i++) yield* work("light", 5 * megabyte)
      yield* settled
      assert.deepStrictEqual(running, { heavy: 1, light: 8 })
      yield* gates.light.release(20)
      yield* settled
      assert.deepStrictEqual(
        [running, ended],
        [
          { heavy: 1, light: 0 },
          { heavy: 0, light: 20 }
        ]
      )
      yield* gates.heavy.release(1)
      yield* settled
      assert.deepStrictEqual([running.heavy, ended.heavy], [1, 1])
      yield* gates.heavy.release(2)
      yield* settled
      assert.deepStrictEqual([running.heavy, ended.heavy], [0, 3])
    })
)

it.live("before a heavy body the event loop has a turn, and a failure gives its place back", () =>
  Effect.gen(function* () {
    const { inTurn } = makeInFlight(megabyte)
    let hasTurned = false
    setImmediate(() => {
      hasTurned = true
    })
    const failing = inTurn(
      5 * megabyte + 1,
      Effect.suspend(() => Effect.fail(hasTurned))
    )
    assert.isTrue(yield* Effect.flip(failing))
    assert.isTrue(yield* Effect.flip(failing))
  })
)
