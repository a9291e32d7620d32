import type { IncomingMessage } from "node:http"
import type { Transform } from "node:stream"
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib"
import { Data, Effect } from "effect"
import type { ByteBuffer } from "./ByteBuffer.js"

/** Larger than `MAX_BODY_BYTES`, on the wire or after decompression. */
export class BodyTooLarge extends Data.TaggedError("BodyTooLarge")<{ readonly detail: string }> {}

/** Neither a length nor chunks: there is no body to read. */
class LengthRequired extends Data.TaggedError("LengthRequired")<{ readonly detail: string }> {}

/** Cut off, or its compression is damaged. */
export class BodyMalformed extends Data.TaggedError("BodyMalformed")<{ readonly detail: string }> {}

class MediaTypeUnsupported extends Data.TaggedError("MediaTypeUnsupported")<{ readonly detail: string }> {}

/** Whether there is room for that many bytes; when not, `resume` is called once there is. */
export type Room = (bytes: number, resume: () => void) => boolean

export type BodyError = BodyTooLarge | LengthRequired | BodyMalformed | MediaTypeUnsupported

/** Node's request is what the pipeline reads from: Effect's own body reader is quadratic in the number of chunks. */
export type BodySource = IncomingMessage

const decompressors: ReadonlyMap<string, () => Transform> = new Map([
  ["gzip", createGunzip],
  ["x-gzip", createGunzip],
  ["deflate", createInflate],
  ["br", createBrotliDecompress]
])

const contentCodingOf = (request: BodySource) =>
  (request.headers["content-encoding"] ?? "identity").trim().toLowerCase()

/** `Content-Length`, or undefined for a chunked body. */
export const declaredLength = (request: BodySource): number | undefined => {
  const length = request.headers["content-length"]
  return length === undefined ? undefined : Number(length)
}

/** Everything that can be refused before the first byte of the body is read. */
export const checkHead = (request: BodySource, maxBytes: number): Effect.Effect<void, BodyError> => {
  const contentType = request.headers["content-type"]
  if (contentType !== undefined && !/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(contentType.trim())) {
    return new MediaTypeUnsupported({ detail: "Content-Type must be application/json" })
  }
  const coding = contentCodingOf(request)
  if (coding !== "identity" && !decompressors.has(coding)) {
    return new MediaTypeUnsupported({ detail: "Content-Encoding must be identity, gzip, deflate or br" })
  }
  const length = declaredLength(request)
  if (length === undefined && request.headers["transfer-encoding"] === undefined) {
    return new LengthRequired({ detail: "The request has no body: send Content-Length or a chunked body" })
  }
  return length !== undefined && length > maxBytes ? tooLarge(maxBytes, "on the wire") : Effect.void
}

const tooLarge = (maxBytes: number, where: string) =>
  new BodyTooLarge({ detail: `The body is larger than ${maxBytes} bytes ${where}` })

/** A body that is whole, in the pieces that it came in. */
export interface WholeBody {
  readonly pieces: ReadonlyArray<Buffer>
  /** Into a buffer: once, since nothing else holds it after. */
  readonly moveTo: (buffer: ByteBuffer) => Buffer
}

/**
 * Reads and decompresses a body, counting bytes on both sides of the decompressor while they stream, so that neither a
 * long body nor a decompression bomb is ever held in memory beyond `maxBytes`. Ends with the first violation; the rest
 * of the request is then left unread (`http/NodeServer` closes such connections). Buffers are for bodies that are
 * whole: those that come slowly, or never, would keep them from others.
 *
 * @param room asked before more is kept; while there is none, neither the request nor its decompressor goes on
 */
export const readBody = (
  request: BodySource,
  maxBytes: number,
  room: Room = () => true
): Effect.Effect<WholeBody, BodyError> =>
  Effect.async((resume) => {
    const decompressor = decompressors.get(contentCodingOf(request))?.()
    const chunks: Array<Buffer> = []
    let wireBytes = 0
    let plainBytes = 0
    let done = false

    const finish = (result: Effect.Effect<WholeBody, BodyError>) => {
      if (done) return
      done = true
      request.off("data", onWire).off("end", onEnd).off("error", onAbort).off("close", onClose)
      request.on("error", ignore)
      if (decompressor !== undefined) {
        decompressor.removeAllListeners()
        decompressor.on("error", ignore)
        decompressor.destroy()
      }
      // Listeners keep this closure alive in old space: without this line every body survives several collections.
      chunks.length = 0
      resume(result)
    }
    const onPlain = (chunk: Buffer) => {
      plainBytes += chunk.length
      if (plainBytes > maxBytes) return finish(tooLarge(maxBytes, "after decompression"))
      // Collected first and copied at the end: freed one by one, the chunks would make malloc return their pages each
      // time.
      chunks.push(chunk)
      const source = decompressor ?? request
      if (!room(plainBytes, () => source.resume())) source.pause()
    }
    const onWire = (chunk: Buffer) => {
      wireBytes += chunk.length
      if (wireBytes > maxBytes) return finish(tooLarge(maxBytes, "on the wire"))
      if (decompressor === undefined) return onPlain(chunk)
      if (!decompressor.write(chunk)) request.pause()
    }
    const complete = () => {
      const pieces = chunks.splice(0)
      const moveTo = (buffer: ByteBuffer) => {
        buffer.reserve(plainBytes)
        for (const piece of pieces.splice(0)) buffer.append(piece)
        return buffer.written()
      }
      finish(Effect.succeed({ pieces, moveTo }))
    }
    const onEnd = () => (decompressor === undefined ? complete() : decompressor.end())
    const onAbort = () => finish(new BodyMalformed({ detail: "The connection ended before the body did" }))
    // Not `complete`: of what has come and was not read yet, nothing is read any more.
    const onClose = () => {
      if (!request.readableEnded) onAbort()
    }

    if (decompressor !== undefined) {
      decompressor.on("data", onPlain)
      decompressor.on("end", complete)
      decompressor.on("drain", () => request.resume())
      decompressor.on("error", () =>
        finish(new BodyMalformed({ detail: "The body is not what its Content-Encoding says, or it is cut off" }))
      )
    }
    if (request.destroyed) return onAbort()
    request.on("data", onWire).on("end", onEnd).on("error", onAbort).on("close", onClose)
    return Effect.sync(() => finish(Effect.interrupt))
  })

const ignore = () => {}
