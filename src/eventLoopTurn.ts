import { Effect } from "effect"

/**
 * Lets everything else that is due run: sockets, timers, signals. `Effect.yieldNow` does not: Effect goes on in
 * microtasks, thousands of times before the event loop comes round.
 */
export const eventLoopTurn = Effect.async<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})
