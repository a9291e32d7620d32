import { deflateSync, gzipSync } from "node:zlib"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { accepted, layerTestServer, newHome, refused } from "../support/testServer.js"

/** Stands wherever a client could put a secret; nothing of it may come back. */
const secret = "xK9secretQ7"
const home = () => newHome([{ timestamp: Date.now() / 1000 - 60, temp_outside: 1 }], { note: secret })
const valid = () => JSON.stringify(home())
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth)
const nestedObjects = (depth: number) => `${'{"a":'.repeat(depth)}0${"}".repeat(depth)}`
const notUtf8 = (text: string) => Buffer.from(text, "latin1")

layer(layerTestServer(), { excludeTestServices: true })("bodies that are no submission", (it) => {
  it.effect.each<readonly [name: string, body: string | Buffer]>([
    ["no byte", ""],
    ["white space", " \n"],
    ["words", secret],
    ["a form", `a=1&${secret}=2`],
    ["XML", `<${secret}/>`],
    ["cut-off JSON", valid().slice(0, -3)],
    ["JSON cut off in a string", `{"a": "${secret}`],
    ["JSON with something behind it", `${valid()} ${secret}`],
    ["two documents", valid() + valid()],
    ["single quotes", valid().replaceAll('"', "'")],
    ["a trailing comma", `{"${secret}": 1,}`],
    ["an unquoted word", `{"a": ${secret}}`],
    ["a control character in a string", `{"a": "${secret}\n"}`],
    ["a byte order mark before the JSON", `\ufeff${valid()}`],
    ["UTF-16", Buffer.from(valid(), "utf16le")],
    ["bytes", Buffer.from([0, 255, 254, 1, 2, 3])],
    ["the beginning of an Infinity", "I"],
    ["the beginning of a NaN at the end", '{"a": Na'],
    ["a NaN in a word", `{"a": NaN${secret}}`],
    ["an unterminated string with a NaN", `{"a": NaN, "${secret}`]
  ])("400: %s", ([, body]) =>
    Effect.gen(function* () {
      const { detail, status } = yield* refused(body!)
      assert.strictEqual(status, 400)
      assert.match(detail, /^The body is not JSON( \(at character \d+\))?$/)
    })
  )

  it.effect.each<readonly [encoding: string, name: string, body: Buffer]>([
    ["gzip", "plain", Buffer.from(valid())],
    ["gzip", "cut-off", gzipSync(valid()).subarray(0, -12)],
    ["gzip", "damaged", Buffer.concat([gzipSync(valid()).subarray(0, 40), Buffer.from(secret)])],
    ["gzip", "zlib", deflateSync(valid())],
    ["gzip", "followed by something else", Buffer.concat([gzipSync(valid()), gzipSync(valid()).subarray(0, 15)])],
    ["deflate", "gzipped", gzipSync(valid())],
    ["br", "plain", Buffer.from(valid())]
  ])("400: Content-Encoding %s with a %s body", ([encoding, , body]) =>
    Effect.gen(function* () {
      const { detail, status } = yield* refused(body!, { "content-encoding": String(encoding) })
      assert.strictEqual(status, 400)
      assert.notInclude(detail, secret)
    })
  )

  it.effect.each([
    "text/plain",
    "text/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonp",
    "application/json; charset=latin1",
    `application/json; ${secret}=1`
  ])("415: Content-Type %s", (contentType) =>
    Effect.gen(function* () {
      const { detail, status } = yield* refused(home(), { "content-type": contentType })
      assert.strictEqual(status, 415)
      assert.strictEqual(detail, "Content-Type must be application/json")
    })
  )

  it.effect.each(["zstd", "compress", "gzip, gzip", secret, "constructor", "__proto__"])(
    "415: Content-Encoding %s",
    (contentEncoding) =>
      Effect.gen(function* () {
        const { detail, status } = yield* refused(home(), { "content-encoding": contentEncoding })
        assert.strictEqual(status, 415)
        assert.strictEqual(detail, "Content-Encoding must be identity, gzip, deflate or br")
      })
  )

  it.effect.each([
    undefined,
    "application/json",
    "Application/JSON ; charset=utf-8",
    'application/json;charset="UTF-8"'
  ])("accepts Content-Type %s", (contentType) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* accepted(Buffer.from(valid()), { "content-type": contentType })).processed, 1)
    })
  )

  const id = "installation_id"
  const uuid = "3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3"
  it.effect.each<readonly [key: string, value: unknown]>([
    [id, undefined],
    [id, null],
    [id, ""],
    [id, 7],
    [id, secret],
    [id, `${uuid}\n`],
    [id, `{${uuid}}`],
    [id, uuid.replaceAll("-", "")],
    [id, [uuid]],
    [id, "00000000-0000-0000-0000-000000000000"],
    ["heatpump_model", "test/model"],
    ["heatpump_model", "AERO SLM\n"],
    ["heatpump_model", `nav,${secret}=1`],
    ["heatpump_model", `nav ${secret}="1"`],
    ["heatpump_model", `nav\nheatpump_metrics,${secret}=x evil=1 1`],
    ["heatpump_model", `{${secret}}`],
    ["heatpump_model", "Wärmepumpe"],
    ["heatpump_model", "x".repeat(129)],
    ["heatpump_model", 7],
    ["heatpump_model", { value: secret }],
    ["version", ""],
    ["version", "1.0.1\n"],
    ["version", "1 0"],
    ["version", `1.0,${secret}=1`],
    ["version", `1.0\nheatpump_metrics ${secret}=1`],
    ["version", "1".repeat(33)],
    ["version", 1.1],
    ["version", false],
    ["data", undefined],
    ["data", null],
    ["data", secret],
    ["data", {}],
    ["data", { length: 1, 0: { timestamp: 1, [secret]: 1 } }]
  ])("422 naming the key and not the value: %s = %j", ([key, value]) =>
    Effect.gen(function* () {
      const { detail, status } = yield* refused({ ...home(), [String(key)]: value })
      assert.strictEqual(status, 422)
      assert.match(detail, new RegExp(`^The submission is not valid: ${String(key)} must be [^;]+$`))
      assert.notInclude(detail, secret)
      if (typeof value === "string" && value.length > 3) assert.notInclude(detail, value)
    })
  )

  it.effect("422: names every key that is wrong", () =>
    Effect.gen(function* () {
      const { detail, status } = yield* refused({ installation_id: 1, heatpump_model: 2, version: 3, data: 4 })
      assert.strictEqual(status, 422)
      for (const key of ["installation_id", "heatpump_model", "version", "data"]) assert.include(detail, `${key} must`)
    })
  )

  it.effect.each(["null", "7", `"${secret}"`, "[]", `[{"${secret}": 1}]`, "NaN"])("422: the document is %s", (body) =>
    Effect.gen(function* () {
      const { detail, status } = yield* refused(body)
      assert.strictEqual(status, 422)
      assert.strictEqual(detail, "The submission is not valid: the body must be a JSON object")
    })
  )

  it.effect("422: bytes in the envelope that are not UTF-8", () =>
    Effect.gen(function* () {
      const { detail, status } = yield* refused(notUtf8(JSON.stringify({ ...home(), version: "1.0\xff" })))
      assert.strictEqual(status, 422)
      assert.include(detail, "version must")
    })
  )

  it.effect("unknown keys of the envelope are ignored, whatever they are", () =>
    Effect.gen(function* () {
      const { note: _, ...rest } = { ...home(), note: 1 }
      const text = JSON.stringify(rest).slice(0, -1)
      const body = `${text}, "data_version": "2.0", "total_records": NaN, "__proto__": {"version": 7}, "\xff": "\xfe", "": {}}`
      assert.strictEqual((yield* accepted(notUtf8(body))).processed, 1)
    })
  )

  it.effect.each([
    ["five million open brackets", "[".repeat(5_000_000)],
    ["a million open objects", '{"a":'.repeat(1_000_000)]
  ])("413, before they are parsed: %s", ([, body]) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* refused(body!)).status, 413)
    })
  )

  const depth = 10_000
  it.effect.each<readonly [where: string, body: () => string, status: number]>([
    ["as the document", () => nested(depth), 422],
    ["as installation_id", () => `{"installation_id": ${nested(depth)}, "data": []}`, 422],
    ["as version", () => `{"version": ${nestedObjects(depth)}, "data": []}`, 422],
    ["as heatpump_model", () => `{"heatpump_model": ${nested(depth)}, "data": []}`, 422],
    ["as data", () => valid().replace(/"data":\[.*\]/, `"data":${nested(depth)}`), 200],
    ["as a value", () => valid().replace('"temp_outside":1', `"temp_outside":1,"deep":${nested(depth)}`), 200],
    ["as an unknown key", () => valid().replace(`"${secret}"`, nested(depth)), 200]
  ])("deep nesting %s is answered as anything else would be", ([, body, status]) =>
    Effect.gen(function* () {
      const text = (body as () => string)()
      if (status === 200) yield* accepted(text)
      else assert.strictEqual((yield* refused(text)).status, status)
    })
  )
})
