import { Clock, Duration, Effect } from "effect"

/**
 * A clock that stands still except for jumps. A sleeper wakes when its time has really passed, or once when a jump goes
 * past it: unlike TestClock's, an hour's jump does not run a loop of every second 3600 times.
 */
export interface JumpingClock {
  readonly clock: Clock.Clock
  readonly nowMs: () => number
  readonly jumpTo: (ms: number) => Effect.Effect<void>
}

export const makeJumpingClock = (startMs: number): JumpingClock => {
  const sleepers = new Set<{ readonly dueMs: number; readonly wake: () => void }>()
  let nowMs = startMs
  const sleep = (duration: Duration.Duration) =>
    Effect.async<void>((resume) => {
      const sleeper = {
        dueMs: nowMs + Duration.toMillis(duration),
        wake: () => {
          stop()
          resume(Effect.void)
        }
      }
      const timer = setTimeout(sleeper.wake, Duration.toMillis(duration))
      const stop = () => {
        clearTimeout(timer)
        sleepers.delete(sleeper)
      }
      sleepers.add(sleeper)
      return Effect.sync(stop)
    })
  const jumpTo = (ms: number) =>
    Effect.sync(() => {
      nowMs = ms
      for (const sleeper of [...sleepers]) if (sleeper.dueMs <= nowMs) sleeper.wake()
    })
  const nanos = () => BigInt(nowMs) * 1_000_000n
  const clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => nowMs,
    currentTimeMillis: Effect.sync(() => nowMs),
    unsafeCurrentTimeNanos: nanos,
    currentTimeNanos: Effect.sync(nanos),
    sleep
  }
  return { clock, nowMs: () => nowMs, jumpTo }
}

/**
 * A clock on which `factor` seconds pass in one: waits are real and short.
 *
 * @param onSleep is told how long each sleeper means to sleep, in milliseconds of this clock
 */
export const makeFastClock = (factor: number, onSleep: (ms: number) => void = () => {}): Clock.Clock => {
  const startMs = Date.now()
  const startTicks = performance.now()
  const nowMs = () => Math.round(startMs + (performance.now() - startTicks) * factor)
  const nanos = () => BigInt(nowMs()) * 1_000_000n
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: nowMs,
    currentTimeMillis: Effect.sync(nowMs),
    unsafeCurrentTimeNanos: nanos,
    currentTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.async<void>((resume) => {
        onSleep(Duration.toMillis(duration))
        const timer = setTimeout(() => resume(Effect.void), Duration.toMillis(duration) / factor)
        return Effect.sync(() => clearTimeout(timer))
      })
  }
}

/** What `effect` gives, and how often the event loop came round meanwhile: so often did all else get its turn. */
export const countTurns = <A, E, R>(effect: Effect.Effect<A, E, R>, onTurn: () => void = () => {}) =>
  Effect.suspend(() => {
    let turns = 0
    const next = () =>
      setImmediate(() => {
        turns++
        onTurn()
        immediate = next()
      })
    let immediate = next()
    return effect.pipe(
      Effect.map((result) => ({ result, turns })),
      Effect.ensuring(Effect.sync(() => clearImmediate(immediate)))
    )
  })

/** The same clock, whose time of day can be set without any time having passed. */
export const makeAdjustableClock = (clock: Clock.Clock) => {
  let offsetMs = 0
  const unixMs = () => clock.unsafeCurrentTimeMillis() + offsetMs
  const adjustable: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: unixMs,
    currentTimeMillis: Effect.sync(unixMs),
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
    currentTimeNanos: clock.currentTimeNanos,
    sleep: clock.sleep
  }
  return {
    clock: adjustable,
    setBy: (ms: number) => {
      offsetMs += ms
    }
  }
}
