import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { Averages } from "../../src/pipeline/Averages.js"
import { Store } from "../../src/store/Store.js"

it.effect("a client that hangs up takes no answer from those who asked the same", () =>
  Effect.gen(function* () {
    const asked = yield* Deferred.make<void>()
    const answer = yield* Deferred.make<ReadonlyMap<string, ReadonlyMap<string, number>>>()
    const store = Layer.mock(Store, {
      means: () => Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(answer))
    })
    yield* Effect.gen(function* () {
      const averages = yield* Averages
      const first = yield* Effect.fork(averages.of("AERO SLM", "temp_outside"))
      yield* Deferred.await(asked)
      const second = yield* Effect.fork(averages.of("AERO_SLM", "temp_outside"))
      yield* Effect.yieldNow()
      yield* Fiber.interruptFork(first)
      yield* Effect.yieldNow()
      yield* Deferred.succeed(answer, new Map([["home", new Map([["temp_outside", 5]])]]))
      assert.deepInclude(yield* Fiber.join(second), { installations: 1, avg: 5 })
    }).pipe(Effect.provide(Layer.provide(Averages.layer(1), store)))
  })
)
