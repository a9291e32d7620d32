import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Redacted } from "effect"
import * as fc from "fast-check"
import { rawAddress } from "../../src/domain/Address.js"
import { canonicalModel, isModelName } from "../../src/domain/ModelName.js"
import { sensors } from "../../src/domain/Sensor.js"
import { Auth } from "../../src/pipeline/Auth.js"
import { parseJson } from "../../src/pipeline/Json.js"
import { isLoopback, makeAddressDigests, maskAddress } from "../../src/pipeline/Mask.js"
import { timestampMsOf } from "../../src/pipeline/Records.js"
import { captureLogs } from "../support/testServer.js"

describe("Auth", () => {
  const tokens = (...texts: ReadonlyArray<string>) => texts.map((text) => Redacted.make(text))
  const outcome =
    (effect: (auth: typeof Auth.Service) => Effect.Effect<string, { readonly _tag: string }>) =>
    (layer: ReturnType<typeof Auth.layer>) =>
      Effect.gen(function* () {
        return yield* effect(yield* Auth)
      }).pipe(
        Effect.merge,
        Effect.map((result) => (typeof result === "string" ? result : result._tag)),
        Effect.provide(layer),
        Effect.runSync
      )

  it("opens for each of several tokens and for nothing else", () => {
    const layer = Auth.layer({ logger: tokens("old-token-0123456", "new-token-0123456"), admin: [] })
    const submitter = (header: string | undefined) => outcome((auth) => auth.logger(header))(layer)
    for (const header of ["Bearer old-token-0123456", "bearer new-token-0123456", "BEARER  new-token-0123456 "]) {
      assert.strictEqual(submitter(header), "logger", header)
    }
    for (const header of [
      "Bearer old-token-012345",
      "Bearer old-token-01234567",
      "Bearer OLD-TOKEN-0123456",
      "Bearer é"
    ]) {
      assert.strictEqual(submitter(header), "CredentialsRefused", header)
    }
    const none = [
      "",
      "old-token-0123456",
      "Basic old-token-0123456",
      "Bearer",
      "Bearer a b",
      "xBearer old-token-0123456"
    ]
    for (const header of [undefined, ...none]) {
      assert.strictEqual(submitter(header), "CredentialsMissing", String(header))
    }
  })

  it("opens for other tokens once they have been replaced, and says what to send", () =>
    Effect.gen(function* () {
      const auth = yield* Auth
      const [old, fresh] = ["Bearer old-token-0123456", "Bearer new-token-0123456"]
      yield* auth.replace({ logger: tokens("new-token-0123456"), admin: tokens("admin-token-012345") })
      assert.strictEqual(yield* auth.logger(fresh), "logger")
      assert.strictEqual(yield* auth.admin("Bearer admin-token-012345", false), "admin")
      for (const refused of [auth.logger(old), auth.admin(fresh, true)]) {
        assert.strictEqual((yield* Effect.flip(refused)).detail, "The token is not valid for this request")
      }
      const missing = yield* Effect.flip(auth.logger(undefined))
      assert.strictEqual(missing.detail, "Send the header Authorization: Bearer <token>")
    }).pipe(Effect.provide(Auth.layer({ logger: tokens("old-token-0123456"), admin: [] })), Effect.runSync))

  it("keeps the operator's side to the admin token, or without one to this machine", () => {
    const ask = (admin: ReadonlyArray<string>, token: string, isLocal: boolean) =>
      outcome((auth) => auth.admin(`Bearer ${token}`, isLocal))(
        Auth.layer({ logger: tokens("logger-token-01234"), admin: tokens(...admin) })
      )
    assert.strictEqual(ask([], "logger-token-01234", true), "admin")
    assert.strictEqual(ask([], "logger-token-01234", false), "CredentialsRefused")
    assert.strictEqual(ask([], "other-token-012345", true), "CredentialsRefused")
    assert.strictEqual(ask(["admin-token-012345"], "admin-token-012345", false), "admin")
    assert.strictEqual(ask(["admin-token-012345"], "logger-token-01234", true), "CredentialsRefused")
  })
})

describe("Mask", () => {
  it.each([
    ["1.2.3.4", "1.2.xxx.xxx"],
    ["::ffff:1.2.3.4", "1.2.xxx.xxx"],
    ["::FFFF:203.0.113.9", "203.0.xxx.xxx"],
    ["::ffff:cb00:7109", "203.0.xxx.xxx"],
    ["0:0:0:0:0:ffff:cb00:7109", "203.0.xxx.xxx"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx"],
    ["2001:0DB8::1", "2001:db8:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx"],
    ["fe80::1234%eth0", "fe80:0:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx"],
    ["::1", "0:0:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx"],
    ["64:ff9b::192.0.2.33", "64:ff9b:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx"],
    ["", "unknown"],
    ["evil\n1.2.3.4", "unknown"]
  ])("masks %s as %s", (address, masked) => {
    assert.strictEqual(maskAddress(rawAddress(address)), masked)
  })

  it("never lets the last two bytes of an IPv4 or the last 96 bits of an IPv6 address through", () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        const [a, b] = address.split(".")
        assert.strictEqual(maskAddress(rawAddress(address)), `${a}.${b}.xxx.xxx`)
        assert.strictEqual(maskAddress(rawAddress(`::ffff:${address}`)), `${a}.${b}.xxx.xxx`)
      })
    )
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        assert.match(maskAddress(rawAddress(address)), /^([0-9a-f]{1,4}:[0-9a-f]{1,4}(:xxxx){6}|\d+\.\d+\.xxx\.xxx)$/)
      })
    )
  })

  it("tells apart networks, not the addresses of one, nor what is no address", () => {
    const { digest } = makeAddressDigests()
    const of = (address: string) => digest(rawAddress(address), 0)
    assert.strictEqual(of("2001:db8:1:23::1"), of("2001:db8:1:23:ffff::"))
    assert.strictEqual(of("unknown"), of(""))
    const different = ["2001:db8:1:23::", "2001:db8:12:3::", "2001:db8:1:24::", "1.2.3.4", "1.2.3.5", "unknown"].map(of)
    assert.strictEqual(new Set(different).size, different.length)
  })

  it("knows this machine", () => {
    const local = [
      "127.0.0.1",
      "127.8.9.1",
      "::1",
      "::ffff:127.0.0.1",
      "::ffff:7f00:1",
      "1.127.0.1",
      "128.0.0.1",
      "::2",
      ""
    ]
    assert.deepStrictEqual(
      local.map((address) => isLoopback(rawAddress(address))),
      [true, true, true, true, true, false, false, false, false]
    )
  })

  it("gets an address that cannot be printed, serialised or logged by accident", async () => {
    const address = rawAddress("198.51.100.7")
    const logs = captureLogs()
    const log = Effect.logInfo(address, { address }).pipe(Effect.annotateLogs({ address }))
    await Effect.runPromise(
      Effect.zipRight(log, Effect.logError("oops", { nested: [address] })).pipe(Effect.provide(logs.layer))
    )
    const seen = [
      String(address),
      `${address}`,
      JSON.stringify({ address }),
      inspect({ address }, { depth: 9 }),
      ...logs.lines
    ]
    assert.lengthOf(logs.lines, 2)
    for (const text of seen) assert.notInclude(text, "198.51")
  })
})

describe("Json", () => {
  /** As Python's json.dumps writes it: NaN and the infinities as words, ", " and ": " between. */
  const python = (value: unknown): string => {
    if (typeof value === "number") return Number.isNaN(value) ? "NaN" : String(value)
    if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`
    if (typeof value !== "object" || value === null) return JSON.stringify(value)
    return `{${Object.entries(value)
      .map(([key, inner]) => `${JSON.stringify(key)}: ${python(inner)}`)
      .join(", ")}}`
  }
  const expected = (value: unknown): unknown => {
    if (typeof value === "number") return Number.isNaN(value) ? Number.POSITIVE_INFINITY : value
    if (Array.isArray(value)) return value.map(expected)
    if (typeof value !== "object" || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, expected(inner)]))
  }
  const text = fc.oneof(fc.string(), fc.constantFrom('NaN "x" NaN', "\\", 'Infinity\\"', "-Infinity", '"'))
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, null, true),
      fc.integer(),
      text,
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(
        text.filter((key) => key !== "__proto__"),
        tie("value"),
        { maxKeys: 4, noNullPrototype: true }
      )
    )
  }))

  it("reads Python's NaN and infinities as infinite, and leaves them alone inside strings", () =>
    fc.assert(
      fc.property(value, (json) => {
        const parsed = Either.getOrThrow(parseJson(Buffer.from(python(json))))
        assert.deepStrictEqual(parsed, expected(json))
      }),
      { numRuns: 500 }
    ))

  it("says where it is not JSON and never what stands there", () => {
    for (const body of ['{"a": SECRET}', "", "SECRET", '{"SECRET": 1', '["SECRET",,]', "NaNSECRET", "{'SECRET': 1}"]) {
      const error = Either.getOrThrow(Either.flip(parseJson(Buffer.from(body))))
      assert.match(error.detail, /^The body is not JSON( \(at character \d+\))?$/)
    }
  })

  it("says where when the parser says so, and takes no text of the body for it", () => {
    const detail = (body: string) => Either.getOrThrow(Either.flip(parseJson(Buffer.from(body)))).detail
    assert.strictEqual(detail("{'a': 1}"), "The body is not JSON (at character 1)")
    assert.strictEqual(detail(`{"abc": 123, 'a'}`), "The body is not JSON (at character 13)")
    assert.strictEqual(detail('["at position 4711", S]'), "The body is not JSON")
  })

  it("confines bytes that are not UTF-8 to their string", () => {
    const body = Buffer.concat([Buffer.from('{"a": "'), Buffer.from([0xff, 0xfe]), Buffer.from('", "b": 2}')])
    assert.deepInclude(Either.getOrThrow(parseJson(body)), { b: 2 })
  })
})

describe("Records", () => {
  it("takes seconds, ms, µs and ns for what they are", () => {
    const ms = 1_795_354_038_417
    for (const sent of [ms / 1e3, ms, ms * 1e3, ms * 1e6]) assert.strictEqual(timestampMsOf(sent), ms)
  })
})

describe("domain", () => {
  it("treats a space and an underscore in a model name alike, and refuses what could be syntax", () => {
    assert.strictEqual(canonicalModel("AERO SLM"), canonicalModel("AERO_SLM"))
    assert.strictEqual(canonicalModel(""), "unknown")
    assert.deepStrictEqual(
      ["AERO SLM (2)", "a-b.c_d", "test/model", "AERO\n", "a,b", "a=b", "ä", "x".repeat(129)].map(isModelName),
      [true, true, false, false, false, false, false, false]
    )
  })

  it("has a consistent table of sensors, templates expanded", () => {
    for (const name of [
      "temp_flow_current_circuit_g",
      "mode_zone_10",
      "temp_room_zone_10_room_8",
      "relay_zone_1_room_9"
    ]) {
      assert.isTrue(sensors.has(name), name)
    }
    assert.strictEqual(sensors.size, 665)
    for (const { absent, max, members, min, name } of sensors.values()) {
      assert.isBelow(min, max, name)
      assert.match(name, /^[a-z0-9_]+$/)
      for (const code of Object.values(members ?? {})) {
        assert.isTrue((code >= min && code <= max) || absent.includes(code), name)
      }
    }
  })
})
