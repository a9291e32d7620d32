import type { HttpServerRequest } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Effect, Stream } from "effect"

/**
 * The bytes of an answer that has begun: where they fail, the connection is broken off, because Effect would end the answer as
 * if it were whole.
 *
 * @param what is being answered, for the log
 */
export const orBreakOff = <E>(
  bytes: Stream.Stream<Uint8Array, E>,
  request: HttpServerRequest.HttpServerRequest,
  what: string
): Stream.Stream<Uint8Array, E> =>
  Stream.tapErrorCause(bytes, (cause) =>
    Effect.zipRight(
      Effect.logError(`${what} was cut off`, cause),
      Effect.sync(() => NodeHttpServerRequest.toIncomingMessage(request).socket.destroy())
    )
  )
