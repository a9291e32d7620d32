import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import type { Block } from "../../src/domain/Block.js"
import { InstallationId } from "../../src/domain/InstallationId.js"
import { unknownModel } from "../../src/domain/ModelName.js"
import { Write } from "../../src/pipeline/Write.js"
import { type Appended, Store, StoreError, StoreFull } from "../../src/store/Store.js"

const block = (samples: number): Block => ({
  installationId: InstallationId.make("3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3"),
  model: unknownModel,
  version: "unknown",
  heatpumpId: undefined,
  firstTimestampMs: 1,
  lastTimestampMs: 1,
  records: 1,
  samples,
  sha256: Buffer.alloc(32),
  gzippedLines: Buffer.alloc(0)
})

/** A store whose appends wait at a gate: even samples are stored, odd ones duplicates, 13 breaks the whole append. */
const gatedStore = Effect.gen(function* () {
  const gate = yield* Effect.makeLatch(false)
  const entered = yield* Deferred.make<void>()
  const groups: Array<ReadonlyArray<number>> = []
  const layer = Layer.mock(Store, {
    append: (blocks) =>
      Effect.gen(function* () {
        groups.push(blocks.map(({ samples }) => samples))
        yield* Deferred.succeed(entered, undefined)
        yield* gate.await
        if (blocks.some(({ samples }) => samples === 13)) {
          return yield* new StoreError({ operation: "append", cause: "thirteen" })
        }
        return blocks.map(({ samples }): Appended => (samples % 2 === 0 ? "stored" : "duplicate"))
      })
  })
  return { gate, entered, groups, layer }
})

describe("Write", () => {
  it.scoped("commits together what arrives during a commit, and gives each submission its own outcome", () =>
    Effect.gen(function* () {
      const { entered, gate, groups, layer } = yield* gatedStore
      const context = yield* Layer.build(Layer.provide(Write.layer, layer))
      const write = yield* Effect.provide(Write, context)
      const first = yield* Effect.fork(write.blocks([block(2)]))
      yield* Deferred.await(entered)
      const rest = yield* Effect.forEach([[4, 5], [7], [6]], (samples) => Effect.fork(write.blocks(samples.map(block))))
      yield* Effect.yieldNow()
      yield* gate.open
      assert.deepStrictEqual(yield* Fiber.join(first), ["stored"])
      assert.deepStrictEqual(yield* Effect.forEach(rest, Fiber.join), [
        ["stored", "duplicate"],
        ["duplicate"],
        ["stored"]
      ])
      assert.deepStrictEqual(groups, [[2], [4, 5, 7, 6]])
      assert.deepStrictEqual(yield* write.blocks([]), [])
    })
  )

  it.scoped("fails all of a group whose append failed, and none of the next", () =>
    Effect.gen(function* () {
      const { entered, gate, layer } = yield* gatedStore
      const context = yield* Layer.build(Layer.provide(Write.layer, layer))
      const write = yield* Effect.provide(Write, context)
      const first = yield* Effect.fork(write.blocks([block(2)]))
      yield* Deferred.await(entered)
      const group = yield* Effect.forEach([13, 4], (samples) => Effect.fork(write.blocks([block(samples)])))
      yield* Effect.yieldNow()
      yield* gate.open
      yield* Fiber.join(first)
      for (const fiber of group) assert.strictEqual((yield* Effect.flip(Fiber.join(fiber)))._tag, "StoreError")
      assert.deepStrictEqual(yield* write.blocks([block(6)]), ["stored"])
    })
  )

  it.effect("commits what it has accepted, though the client hangs up and the program stops", () =>
    Effect.gen(function* () {
      const { entered, gate, groups, layer } = yield* gatedStore
      const scope = yield* Scope.make()
      const context = yield* Layer.build(Layer.provide(Write.layer, layer)).pipe(Scope.extend(scope))
      const write = yield* Effect.provide(Write, context)
      yield* Effect.fork(write.blocks([block(2)]))
      yield* Deferred.await(entered)
      const hangsUp = yield* Effect.fork(write.blocks([block(4)]))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(hangsUp)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* Effect.yieldNow()
      assert.isTrue(Option.isNone(yield* Fiber.poll(closing)))
      yield* gate.open
      yield* Fiber.join(closing)
      assert.deepStrictEqual(groups, [[2], [4]])
    })
  )

  it.effect("passes on that the store is full", () =>
    Effect.gen(function* () {
      const full = new StoreFull({ detail: "full", retryAfterSeconds: 1 })
      const store = Layer.mock(Store, { append: () => Effect.fail(full) })
      const failure = yield* Effect.flatMap(Write, (write) => Effect.flip(write.blocks([block(2)]))).pipe(
        Effect.provide(Layer.provide(Write.layer, store))
      )
      assert.strictEqual(failure._tag, "StoreFull")
    })
  )
})
