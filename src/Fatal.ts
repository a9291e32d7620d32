import { Cause, Context, Deferred, Effect, FiberId } from "effect"

/**
 * Where a background task reports that the program cannot go on. `serve` waits for it beside its server and ends with
 * the failure; a supervisor starts it anew. A program that does not wait for it, a test for instance, goes on.
 */
export class Fatal extends Context.Reference<Fatal>()("telemetry/Fatal", {
  defaultValue: (): Deferred.Deferred<never, Error> => Deferred.unsafeMake(FiberId.none)
}) {}

/** Runs for the life of the scope; should it ever end, the program does. */
export const runForever = <E extends Error, R>(loop: Effect.Effect<never, E, R>) =>
  Effect.gen(function* () {
    const fatal = yield* Fatal
    const report = (cause: Cause.Cause<E>) =>
      Effect.unless(Deferred.failCause(fatal, cause), () => Cause.isInterruptedOnly(cause))
    yield* Effect.forkScoped(Effect.onError(loop, report))
  })
