import { once } from "node:events"
import { createServer, IncomingMessage, type OutgoingHttpHeaders, request as send } from "node:http"
import { type AddressInfo, Socket } from "node:net"
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Either, Fiber } from "effect"
import {
  BodyMalformed,
  type BodySource,
  checkHead,
  declaredLength,
  type Room,
  readBody
} from "../../src/pipeline/Body.js"
import { ByteBuffer } from "../../src/pipeline/ByteBuffer.js"

const maxBytes = 1_000

let take: (request: IncomingMessage) => void = () => {}
const server = createServer((request, response) => {
  request.on("close", () => response.destroy())
  take(request)
})
beforeAll(async () => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** A real request, as the server has it before its body comes: chunked unless the headers give a length. */
const open = async (headers: OutgoingHttpHeaders = {}) => {
  const arrived = new Promise<BodySource>((resolve) => {
    take = resolve
  })
  const client = send({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", method: "POST", headers })
  client.on("error", () => {})
  client.flushHeaders()
  return { client, request: await arrived }
}
const text = (effect: ReturnType<typeof readBody>) =>
  Effect.map(effect, ({ moveTo }) => {
    const buffer = new ByteBuffer(4)
    assert.strictEqual(moveTo(buffer).toString(), buffer.written().toString())
    return buffer.written().toString()
  })
/** What is read of a body that is sent in these pieces, or the sentence of its refusal. */
const outcome = async (headers: OutgoingHttpHeaders, pieces: ReadonlyArray<Buffer>, room?: Room) => {
  const { client, request } = await open(headers)
  const reading = Effect.runPromise(Effect.either(text(readBody(request, maxBytes, room))))
  for (const piece of pieces) {
    client.write(piece)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  client.end()
  const result = await reading
  client.destroy()
  return Either.merge(Either.mapLeft(result, ({ _tag, detail }) => `${_tag}: ${detail}`))
}
const halves = (bytes: Buffer) => [bytes.subarray(0, bytes.length / 2), bytes.subarray(bytes.length / 2)]

const codings = {
  identity: (bytes: Buffer) => bytes,
  gzip: gzipSync,
  "x-gzip": gzipSync,
  " GZip": gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync
} as const

describe("a body", () => {
  it.each(Object.entries(codings))("of coding %s is read as it is, up to its limit", async (coding, encode) => {
    const headers = { "content-encoding": coding }
    const longest = "x".repeat(maxBytes)
    for (const body of ["", "{}", longest]) {
      assert.strictEqual(await outcome(headers, halves(encode(Buffer.from(body)))), body)
    }
    const where = coding === "identity" ? "on the wire" : "after decompression"
    assert.strictEqual(
      await outcome(headers, halves(encode(Buffer.from(`${longest}x`)))),
      `BodyTooLarge: The body is larger than 1000 bytes ${where}`
    )
  })

  it("is too large on the wire though it may be small when decompressed", async () => {
    // Empty members: nothing but headers.
    const bytes = Buffer.concat(Array.from({ length: 60 }, () => gzipSync("")))
    assert.strictEqual(
      await outcome({ "content-encoding": "gzip" }, [bytes.subarray(0, 600), bytes.subarray(600)]),
      "BodyTooLarge: The body is larger than 1000 bytes on the wire"
    )
  })

  it("is malformed when it is not of its coding, or cut off", async () => {
    const refusal = "BodyMalformed: The body is not what its Content-Encoding says, or it is cut off"
    for (const [coding, encode] of Object.entries(codings)) {
      if (encode === codings.identity) continue
      const whole = encode(Buffer.from("some text and more of it"))
      for (const bytes of [Buffer.from("plain text"), whole.subarray(0, -6)]) {
        assert.strictEqual(await outcome({ "content-encoding": coding }, halves(bytes)), refusal, coding)
      }
    }
  })

  it("is malformed when the connection ends before it, be it read already or not", async () => {
    for (const isRead of [true, false]) {
      const { client, request } = await open({ "content-length": 10 })
      client.write("12345")
      const gone = new Promise((resolve) => request.once("close", resolve))
      const early = isRead ? Effect.runPromise(Effect.flip(readBody(request, maxBytes))) : undefined
      await new Promise((resolve) => setTimeout(resolve, 5))
      client.destroy()
      if (!isRead) {
        request.resume().on("error", () => {})
        await gone
      }
      const error = await (early ?? Effect.runPromise(Effect.flip(readBody(request, maxBytes))))
      assert.strictEqual(`${error._tag}: ${error.detail}`, "BodyMalformed: The connection ended before the body did")
    }
  })

  it("waits while there is no room, and goes on once there is", async () => {
    for (const [coding, encode] of Object.entries(codings)) {
      const body = Buffer.from("y".repeat(900))
      const asked: Array<number> = []
      let full: (() => void) | undefined
      const { client, request } = await open({ "content-encoding": coding })
      const reading = Effect.runPromise(
        text(
          readBody(request, maxBytes, (bytes, resume) => {
            asked.push(bytes)
            if (asked.length > 1) return true
            full = resume
            return false
          })
        )
      )
      for (const piece of halves(encode(body))) client.write(piece)
      client.end()
      await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, 20))])
      assert.lengthOf(asked, 1, coding)
      full!()
      assert.strictEqual(await reading, body.toString())
      assert.strictEqual(asked.at(-1), 900)
    }
  })

  it("is let go of when it is refused or nobody waits for it any more", async () => {
    const names = ["data", "end"] as const
    for (const coding of ["identity", "gzip"]) {
      const { client, request } = await open({ "content-encoding": coding })
      const before = names.map((name) => request.listenerCount(name))
      const fiber = Effect.runFork(readBody(request, maxBytes))
      client.write(gzipSync("12345").subarray(0, 12))
      await new Promise((resolve) => setTimeout(resolve, 5))
      assert.notDeepEqual(
        names.map((name) => request.listenerCount(name)),
        before
      )
      await Effect.runPromise(Fiber.interrupt(fiber))
      assert.deepStrictEqual(
        names.map((name) => request.listenerCount(name)),
        before
      )
      // An error of the connection has somebody to go to.
      request.destroy(new Error("reset"))
      await new Promise((resolve) => request.once("close", resolve))
      client.destroy()
    }
  })
})

describe("a request's head", () => {
  const head = async (headers: OutgoingHttpHeaders) => {
    const { client, request } = await open(headers)
    const result = await Effect.runPromise(Effect.either(checkHead(request, maxBytes)))
    const length = declaredLength(request)
    client.destroy()
    return [length, Either.isRight(result) ? "fine" : `${result.left._tag}: ${result.left.detail}`] as const
  }

  it("is fine with JSON, a coding that can be undone, and a length within the limit or none", async () => {
    for (const type of [
      "application/json",
      "Application/JSON",
      "application/json;charset=utf-8",
      'application/json ; charset="UTF-8" ',
      " application/json "
    ]) {
      assert.deepStrictEqual(await head({ "content-type": type, "content-length": maxBytes }), [maxBytes, "fine"], type)
    }
    for (const coding of [...Object.keys(codings), "identity "]) {
      assert.deepStrictEqual(await head({ "content-encoding": coding }), [undefined, "fine"], coding)
    }
    assert.deepStrictEqual(await head({ "content-length": 0 }), [0, "fine"])
  })

  it("is refused before a byte of the body is read", async () => {
    const type = "MediaTypeUnsupported: Content-Type must be application/json"
    for (const wrong of [
      "text/plain",
      "application/jsonx",
      "xapplication/json",
      "application/json; charset=latin1",
      ""
    ]) {
      assert.strictEqual((await head({ "content-type": wrong }))[1], type, wrong)
    }
    for (const wrong of ["zstd", "gzip, gzip", ""]) {
      assert.strictEqual(
        (await head({ "content-encoding": wrong }))[1],
        "MediaTypeUnsupported: Content-Encoding must be identity, gzip, deflate or br",
        wrong
      )
    }
    assert.deepStrictEqual(await head({ "content-length": maxBytes + 1 }), [
      maxBytes + 1,
      "BodyTooLarge: The body is larger than 1000 bytes on the wire"
    ])
  })

  it("needs a length or chunks", async () => {
    const arrived = new Promise<BodySource>((resolve) => {
      take = resolve
    })
    const client = send({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", method: "GET" })
    client.on("error", () => {})
    client.end()
    const error = await Effect.runPromise(Effect.flip(checkHead(await arrived, maxBytes)))
    client.destroy()
    assert.deepInclude(error, {
      _tag: "LengthRequired",
      detail: "The request has no body: send Content-Length or a chunked body"
    })
  })
})

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
