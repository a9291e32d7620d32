import { Context, Deferred, Effect, Exit, Layer, Queue } from "effect"
import type { Block } from "../domain/Block.js"
import { type Appended, Store, type StoreError, type StoreFull } from "../store/Store.js"

export type WriteError = StoreFull | StoreError

interface Pending {
  readonly blocks: ReadonlyArray<Block>
  readonly appended: Deferred.Deferred<ReadonlyArray<Appended>, WriteError>
}

/** Submissions that share one transaction, and with it one sync of the disk. */
const maxGroup = 64
/** Submissions that may wait for their transaction; the next one waits to wait. */
const maxPending = 1024

/**
 * Fifth stage: blocks → durably stored. Group commit: whatever arrives while one transaction runs shares the next.
 *
 * Invariant: `blocks` succeeds only after the commit that holds all of them. Once accepted into the queue a submission
 * is committed even if its client hangs up.
 */
export class Write extends Context.Tag("telemetry/pipeline/Write")<
  Write,
  { readonly blocks: (blocks: ReadonlyArray<Block>) => Effect.Effect<ReadonlyArray<Appended>, WriteError> }
>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.gen(function* () {
      const store = yield* Store
      const pending = yield* Queue.bounded<Pending>(maxPending)

      const commit = Effect.fn("Write.commit")(function* (group: ReadonlyArray<Pending>) {
        const exit = yield* Effect.exit(store.append(group.flatMap(({ blocks }) => blocks)))
        let taken = 0
        for (const { appended, blocks } of group) {
          const from = taken
          taken += blocks.length
          yield* Deferred.done(
            appended,
            Exit.map(exit, (all) => all.slice(from, from + blocks.length))
          )
        }
      })
      const commitNext = Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(Queue.takeBetween(pending, 1, maxGroup)), (group) => commit([...group]))
      )
      // Registered first, so it runs after the loop has ended: what was accepted is still committed.
      yield* Effect.addFinalizer(() =>
        Effect.flatMap(Queue.takeAll(pending), (rest) => commit([...rest]).pipe(Effect.when(() => rest.length > 0)))
      )
      yield* Effect.forkScoped(Effect.forever(commitNext))

      const blocks = (blocks: ReadonlyArray<Block>) =>
        Effect.gen(function* () {
          if (blocks.length === 0) return []
          const appended = yield* Deferred.make<ReadonlyArray<Appended>, WriteError>()
          yield* Queue.offer(pending, { blocks, appended })
          return yield* Deferred.await(appended)
        })
      return { blocks }
    })
  )
}
