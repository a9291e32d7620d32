import { request } from "node:http"
import { brotliCompressSync, constants, deflateSync, gzipSync } from "node:zlib"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { hasGiantObject } from "../../src/pipeline/Structure.js"
import { accepted, layerTestServer, newHome, post, refused, serverPort, testToken } from "../support/testServer.js"
import { head, openWire, submitHead } from "../support/wire.js"

const megabyte = 1024 * 1024
const zeros = Buffer.alloc(16 * megabyte)
/** A gigabyte of zeros in a megabyte: members of gzip in a row are one gzip body. */
const gzipBomb = Buffer.concat(Array<Buffer>(64).fill(gzipSync(zeros)))
const deflateBomb = deflateSync(Buffer.alloc(64 * megabyte), { level: 1 })
const brotliBomb = brotliCompressSync(Buffer.alloc(128 * megabyte), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })

const detailOf = (body: string | undefined): string => {
  const problem: unknown = JSON.parse(body ?? "null")
  assert.isObject(problem)
  assert.deepStrictEqual(Object.keys(problem as object), ["detail"])
  return (problem as { readonly detail: string }).detail
}

/** The most by which the process grew while `effect` ran. */
const growthDuring = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = process.memoryUsage.rss()
    let peak = before
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss())
    }, 5)
    yield* Effect.ensuring(
      effect,
      Effect.sync(() => clearInterval(watch))
    )
    return Math.max(peak, process.memoryUsage.rss()) - before
  })

const settings = { MAX_IN_FLIGHT_BYTES: String(64 * megabyte) }
layer(layerTestServer(settings), { excludeTestServices: true })("too much", (it) => {
  it.effect.each<readonly [encoding: string, bomb: Buffer, parallel: number]>([
    ["gzip", gzipBomb, 16],
    ["deflate", deflateBomb, 4],
    ["br", brotliBomb, 8]
  ])("413: %s bombs, many at once, in bounded memory", ([encoding, bomb, parallel]) =>
    Effect.gen(function* () {
      const explode = Effect.map(
        Effect.all(
          Array.from({ length: Number(parallel) }, () => refused(bomb, { "content-encoding": String(encoding) })),
          { concurrency: "unbounded" }
        ),
        (answers) => {
          for (const { detail, status } of answers) {
            assert.strictEqual(status, 413)
            assert.strictEqual(detail, `The body is larger than ${16 * megabyte} bytes after decompression`)
          }
        }
      )
      const first = yield* growthDuring(explode)
      const second = yield* growthDuring(explode)
      assert.isBelow(first / megabyte, 250)
      assert.isBelow(second / megabyte, 100)
    })
  )

  it.scoped("413 at once for a declared 100 MB, before a byte of it is sent", () =>
    Effect.gen(function* () {
      const wire = yield* openWire(yield* serverPort)
      wire.send(submitHead({ "content-length": 100 * megabyte }))
      const answer = yield* Effect.timeout(wire.answer, "2 seconds")
      assert.strictEqual(answer?.status, 413)
      assert.include(detailOf(answer?.body), "on the wire")
    })
  )

  it.scoped("413 in the middle of 100 MB in chunks of no declared length", () =>
    Effect.gen(function* () {
      const wire = yield* openWire(yield* serverPort)
      wire.send(submitHead({ "transfer-encoding": "chunked" }))
      const chunk = Buffer.concat([Buffer.from("100000\r\n"), zeros.subarray(0, megabyte), Buffer.from("\r\n")])
      let sent = 0
      const send = Effect.gen(function* () {
        for (; sent < 100; sent++) {
          wire.send(chunk)
          yield* Effect.sleep("5 millis")
        }
      })
      const answer = yield* Effect.raceFirst(wire.answer, Effect.zipRight(send, Effect.never)).pipe(
        Effect.timeout("5 seconds")
      )
      assert.strictEqual(answer?.status, 413)
      assert.isBelow(sent, 90)
      assert.include(detailOf(answer?.body), "on the wire")
    })
  )

  it.effect("the largest body that is allowed is stored, one byte more is refused", () =>
    Effect.gen(function* () {
      const text = JSON.stringify(newHome([{ timestamp: Date.now() / 1000, temp_outside: 1 }]))
      const largest = text + " ".repeat(16 * megabyte - text.length)
      assert.strictEqual((yield* accepted(largest)).processed, 1)
      assert.strictEqual((yield* refused(`${largest} `)).status, 413)
      assert.strictEqual((yield* accepted(gzipSync(largest), { "content-encoding": "gzip" })).duplicate, true)
      const { detail, status } = yield* refused(gzipSync(`${largest} `), { "content-encoding": "gzip" })
      assert.strictEqual(status, 413)
      assert.include(detail, "after decompression")
    })
  )

  it.effect.each([
    ["arrays in arrays", "[".repeat(16 * megabyte)],
    ["arrays in arrays that end", "[".repeat(8 * megabyte) + "]".repeat(8 * megabyte)],
    ["empty objects", `{"data":[${"{},".repeat(5 * megabyte)}{}]}`],
    ["small objects", `{"data":[${'{"a":1},'.repeat(2 * megabyte - 4)}{}]}`],
    ["half a million records", `{"data":[${'{"timestamp":1790000000,"a":1},'.repeat(megabyte / 2)}{}]}`]
  ])("413 for what no parser should have to read: %s", ([_, body]) =>
    Effect.gen(function* () {
      const { detail, status } = yield* refused(String(body))
      assert.strictEqual(status, 413)
      assert.include(detail, "more objects and arrays")
      assert.include(detail, "please send fewer records at once")
    })
  )

  it.effect(
    "413 for an object of more fields than any record, hidden or not; a week's records of all sensors pass",
    () =>
      Effect.gen(function* () {
        const fields = Array.from({ length: 300_000 }, (_, i) => `"k${i}":${i % 100 === 0 ? "{}" : 1}`).join()
        const home = newHome([{ timestamp: Date.now() / 1000, temp_outside: 1 }])
        for (const hidden of [fields, `"a\\"},{":1,${fields}`]) {
          const { detail, status } = yield* refused(`${JSON.stringify(home).slice(0, -1)},"more":{${hidden}}}`)
          assert.strictEqual(status, 413)
          assert.include(detail, "more fields than a record")
        }
        const record = `{${Array.from({ length: 9_000 }, (_, i) => `"k${i}":${i}`).join()}}`
        assert.isFalse(hasGiantObject(Buffer.from(`{"data":[${Array(100).fill(record).join()}]}`)))
      })
  )

  it.effect("the densest records that a logger could write are read", () =>
    Effect.gen(function* () {
      const data = Array.from({ length: 100_000 }, (_, i) => ({
        timestamp: Math.floor(Date.now() / 1000) - i,
        p: i % 10
      }))
      assert.strictEqual((yield* accepted(newHome(data))).processed, 100_000)
    })
  )

  it.scoped("411 for a POST without a body", () =>
    Effect.gen(function* () {
      const wire = yield* openWire(yield* serverPort)
      wire.send(submitHead())
      const answer = yield* Effect.timeout(wire.answer, "2 seconds")
      assert.strictEqual(answer?.status, 411)
      assert.include(detailOf(answer?.body), "no body")
    })
  )

  it.scoped("the credentials are looked at before the body is sent", () =>
    Effect.gen(function* () {
      const port = yield* serverPort
      const cases: ReadonlyArray<readonly [authorization: string | undefined, status: number]> = [
        [undefined, 401],
        ["", 401],
        ["Bearer", 401],
        ["Bearer ", 401],
        [`Basic ${Buffer.from(`logger:${testToken}`).toString("base64")}`, 401],
        [testToken, 401],
        [`Bearer: ${testToken}`, 401],
        [`Bearer ${testToken} ${testToken}`, 401],
        [`Bearer ${testToken.slice(0, -1)}`, 403],
        [`Bearer ${testToken}x`, 403],
        [`Bearer ${testToken.toUpperCase()}`, 403],
        [`Bearer ,${testToken}`, 403],
        ["Bearer undefined", 403]
      ]
      const bodies = [{ "content-length": 2_000_000 }, { "transfer-encoding": "chunked" }, { expect: "100-continue" }]
      for (const [authorization, status] of cases) {
        for (const body of bodies) {
          const wire = yield* openWire(port)
          wire.send(submitHead({ authorization, "content-length": "expect" in body ? 2_000_000 : undefined, ...body }))
          const answer = yield* Effect.timeout(wire.answer, "2 seconds")
          assert.strictEqual(answer?.status, status, authorization)
          assert.strictEqual(answer?.headers.get("www-authenticate") === undefined, status === 403)
          assert.match(detailOf(answer?.body), status === 401 ? /Authorization: Bearer/ : /^The token is not valid/)
        }
      }
    })
  )

  it.effect("the scheme is Bearer in any case, however many spaces follow", () =>
    Effect.gen(function* () {
      for (const scheme of ["bearer", "BEARER", "Bearer  "]) {
        const { status } = yield* post(newHome([]), { authorization: `${scheme} ${testToken}` })
        assert.strictEqual(status, 200)
      }
    })
  )

  /** A client that closes by itself, and whose last bytes are still on their way when it is refused. */
  const upload = (port: number, headers: Readonly<Record<string, string>>, bytes: number) =>
    new Promise<number | undefined>((resolve, reject) => {
      const outgoing = request({ port, path: "/api/v1/submit", method: "POST", agent: false, headers })
      outgoing.on("response", (incoming) => {
        incoming.resume()
        incoming.on("end", () => resolve(incoming.statusCode))
        incoming.on("error", reject)
      })
      outgoing.on("error", reject)
      outgoing.end(Buffer.alloc(bytes, "x"))
    })

  it.effect.each<readonly [status: number, headers: Readonly<Record<string, string>>]>([
    [401, { "content-type": "application/json" }],
    [413, { "content-type": "application/json", authorization: `Bearer ${testToken}` }]
  ])("a client that is still sending its 30 MB sees the %s, every time", ([status, headers]) =>
    Effect.gen(function* () {
      const port = yield* serverPort
      for (let i = 0; i < 20; i++) {
        const seen = yield* Effect.promise(() => upload(port, headers as Record<string, string>, 30 * megabyte))
        assert.strictEqual(seen, status)
      }
    })
  )

  it.scoped("a refused client that neither goes on nor goes away is cut off", () =>
    Effect.gen(function* () {
      const wire = yield* openWire(yield* serverPort, { allowHalfOpen: true })
      wire.send(submitHead({ "content-length": 30 * megabyte }))
      wire.send(zeros.subarray(0, megabyte))
      assert.strictEqual((yield* wire.answer)?.status, 413)
      yield* Effect.sleep("1 second")
      assert.isTrue(wire.isOpen(), "what is still on its way is read for a while")
      yield* Effect.sleep("2 seconds")
      // Only what is sent afterwards shows our side that theirs is gone.
      const send = Effect.forever(
        Effect.zipRight(
          Effect.sync(() => wire.send("x")),
          Effect.sleep("20 millis")
        )
      )
      yield* Effect.timeout(Effect.raceFirst(wire.closed, send), "1 second")
    })
  )

  it.scoped("a refused client that never stops sending is cut off", () =>
    Effect.gen(function* () {
      const wire = yield* openWire(yield* serverPort, { allowHalfOpen: true })
      wire.send(head("POST /api/v1/submit", { "transfer-encoding": "chunked" }))
      const chunk = Buffer.concat([Buffer.from("100000\r\n"), zeros.subarray(0, megabyte), Buffer.from("\r\n")])
      let sent = 0
      for (; wire.isOpen() && sent < 1_000; sent++) {
        wire.send(chunk)
        yield* Effect.sleep("2 millis")
      }
      assert.strictEqual((yield* wire.answer)?.status, 401)
      assert.isAbove(sent, 30, "what is still on its way is read for a while")
      assert.isBelow(sent, 1_000)
    })
  )
})
