/**
 * The bytes of all bodies that are being read and decoded at once: the memory that submissions take.
 *
 * - A body takes room as it comes and not as it is announced, so that holding room costs a client as many bytes.
 * - One that needs more than is free is paused until others are done, the oldest first. The oldest of all never waits,
 *   so that one is always getting done: the bound may be exceeded by one body.
 * - While others wait, a body that comes too slowly (`Pace`) is given up; one that had to wait for too long is refused.
 *
 * - Of those that are whole, few are decoded and encoded at once, and one large one: that takes several times the bytes
 *   of a body, and many more for records of a few bytes. The others keep waiting as they came.
 *
 * Cost: an addition per chunk. Memory: `maxBytes`, one body, a first step for each connection, and what those few take,
 * which is 100 MB at most for the largest body, and 15 MB for each of the others.
 */
import { Clock, Context, Data, Effect, Layer } from "effect"
import { eventLoopTurn } from "../eventLoopTurn.js"
import { type BodySource, declaredLength, type Room } from "./Body.js"
import { paceOf } from "./Pace.js"

/** More bytes in flight than `MAX_IN_FLIGHT_BYTES`, for longer than a client waits. */
export class Overloaded extends Data.TaggedError("Overloaded")<{
  readonly detail: string
  readonly retryAfterSeconds: number
}> {}

/** Others needed the room of a body that hardly moved. */
export class BodyTooSlow extends Data.TaggedError("BodyTooSlow")<{ readonly detail: string }> {}

const overloaded = new Overloaded({ detail: "Too many submissions at once, please retry", retryAfterSeconds: 30 })
const tooSlow = new BodyTooSlow({ detail: "The body came too slowly while others were waiting, please retry" })

/** What a body may have without asking; Node reads as much unasked. */
const firstBytes = 64 * 1024
const stepBytes = 256 * 1024
const lookEveryMs = 250
const longestLookMs = 2 * lookEveryMs
/** Nobody is called slow before. */
const protectedMs = 1_000
/** A body that has stopped for so long is slow, however fast it began. */
const lateMs = 3_000
/** With more than this share of the room taken, submissions come faster than they are stored. */
const crowdedShare = 0.25
/** Half of the 30 seconds after which loggers give up and forget their data. */
const longestWaitMs = 15_000

/** Twice as many as zlib has threads: some are decoded while others are compressed. */
const mostInTurn = 8
/** A logger's batch weighs 3.5 MB at most. Heavier ones come one at a time, and the others pass them. */
const heavyBytes = 5 * 1024 * 1024

interface Place {
  readonly request: BodySource
  readonly startBytes: number
  bytes: number
  /** Set while it waits: how much it needs, and what goes on then. */
  waiting: { readonly bytes: number; readonly resume: () => void } | undefined
  waitedMs: number
  tookMs: number
  /** Bytes read by then, and when, for its pace of late. */
  readonly late: { bytes: number; ms: number; isSlow: boolean }
}

/**
 * `hold` fails with `Overloaded` or `BodyTooSlow`, or as what it runs does.
 *
 * @param maxBytes of all bodies at once
 */
export const makeInFlight = (maxBytes: number) => {
  let free = maxBytes
  let waiting = 0
  /** Those with more than their first bytes, the oldest first. */
  const places = new Set<Place>()
  const light = Effect.unsafeMakeSemaphore(mostInTurn)
  const heavy = Effect.unsafeMakeSemaphore(1)

  const isGranted = (place: Place, bytes: number): boolean => {
    const extra = bytes - place.bytes
    const [oldest] = places
    if (extra > free && place !== oldest) return false
    free -= extra
    place.bytes = bytes
    return true
  }
  const wake = (): void => {
    for (const place of places) {
      const { waiting: wish } = place
      if (wish === undefined || !isGranted(place, wish.bytes)) continue
      place.waiting = undefined
      waiting--
      wish.resume()
    }
  }
  const roomOf =
    (place: Place): Room =>
    (bytes, resume) => {
      if (bytes <= Math.max(place.bytes, firstBytes)) return true
      places.add(place)
      const wanted = Math.ceil(bytes / stepBytes) * stepBytes
      if (isGranted(place, wanted)) return true
      place.waiting = { bytes: wanted, resume }
      waiting++
      return false
    }
  const leave = (place: Place): void => {
    places.delete(place)
    free += place.bytes
    if (place.waiting !== undefined) waiting--
    if (waiting > 0) wake()
  }

  const isSlow = ({ bytes, late, request, startBytes, tookMs, waiting: wish }: Place): boolean => {
    if (bytes === 0 || wish !== undefined || request.complete || tookMs < protectedMs) return false
    const { bytesRead } = request.socket
    if (tookMs - late.ms >= lateMs) {
      late.isSlow = paceOf(bytesRead - late.bytes, 0, tookMs - late.ms) < 1
      late.bytes = bytesRead
      late.ms = tookMs
    }
    return late.isSlow || paceOf(bytesRead - startBytes, declaredLength(request) ?? 0, tookMs) < 1
  }

  /** Ends with the reason why the body is given up. */
  const watch = Effect.fn("InFlight.watch")(function* (place: Place) {
    let lastMs = yield* Clock.currentTimeMillis
    while (true) {
      yield* Effect.sleep(lookEveryMs)
      const nowMs = yield* Clock.currentTimeMillis
      // Neither our own stalls nor a clock that is set are a client's fault.
      const elapsedMs = Math.max(0, Math.min(nowMs - lastMs, longestLookMs))
      // While it is paused it is not the client who is slow.
      if (place.waiting === undefined) place.tookMs += elapsedMs
      else place.waitedMs += elapsedMs
      lastMs = nowMs
      if (place.waitedMs >= longestWaitMs) return yield* overloaded
      if (isSlow(place) && waiting > 0) return yield* tooSlow
    }
  })

  /** Runs `use`, which asks for room before it takes more. */
  const hold = <A, E, R>(request: BodySource, use: (room: Room) => Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const startBytes = request.socket.bytesRead
        const late = { bytes: startBytes, ms: 0, isSlow: false }
        const place: Place = { request, startBytes, bytes: 0, waiting: undefined, waitedMs: 0, tookMs: 0, late }
        return place
      }),
      (place) => Effect.raceFirst(use(roomOf(place)), watch(place)),
      (place) => Effect.sync(() => leave(place))
    )
  /** Runs `use`, which takes memory in proportion to `bytes`, once there is some. */
  const inTurn = <A, E, R>(bytes: number, use: Effect.Effect<A, E, R>) =>
    bytes > heavyBytes ? heavy.withPermits(1)(Effect.zipRight(eventLoopTurn, use)) : light.withPermits(1)(use)
  /** Whether all else had better wait. */
  const isCrowded = (): boolean => maxBytes - free > maxBytes * crowdedShare
  return { hold, inTurn, isCrowded }
}

/** The room for the bodies of one server. */
export class InFlight extends Context.Tag("telemetry/pipeline/InFlight")<InFlight, ReturnType<typeof makeInFlight>>() {
  static readonly layer = (maxBytes: number) => Layer.sync(this, () => makeInFlight(maxBytes))
}
