import { IncomingMessage } from "node:http"
import { Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { BodyMalformed, type Room, readBody } from "../../src/pipeline/Body.js"

/** A request of which all has come and nothing has been read. */
const arrived = () => {
  const request = new IncomingMessage(new Socket())
  for (const part of ["body", ", and more"]) request.push(part)
  request.push(null)
  request.complete = true
  return request
}
const read = (request: IncomingMessage, room?: Room) =>
  Effect.timeout(Effect.either(readBody(request, 100, room)), "5 seconds")

describe("a body that has come whole, and whose connection ends before it is read", () => {
  it.live("is given up when it is asked for", () =>
    Effect.gen(function* () {
      const request = arrived()
      request.destroy()
      yield* Effect.yieldNow()
      const result = yield* read(request)
      assert.isTrue(result._tag === "Left" && result.left instanceof BodyMalformed)
    })
  )

  it.live("is given up while it waits for room", () =>
    Effect.gen(function* () {
      const request = arrived()
      const waits = new Promise<void>((resolve) => {
        request.once("pause", resolve)
      })
      const reading = yield* Effect.fork(read(request, () => false))
      yield* Effect.promise(() => waits)
      request.destroy()
      const result = yield* Fiber.join(reading)
      assert.isTrue(result._tag === "Left" && result.left instanceof BodyMalformed)
    })
  )
})
