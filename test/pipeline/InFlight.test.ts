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
