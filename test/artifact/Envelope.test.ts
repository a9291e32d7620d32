import { createHmac, createPrivateKey, randomBytes } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeContext } from "@effect/platform-node"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Either, Option, Redacted } from "effect"
import * as fc from "fast-check"
import { type EnvelopeKeys, openModel, publicBytes, sealModel } from "../../src/artifact/Envelope.js"
import { fernetDecrypt, fernetEncrypt, fernetKey } from "../../src/artifact/Fernet.js"
import { type PythonJson, pythonJson } from "../../src/artifact/PythonJson.js"
import { makeModelKeys, modelKeys } from "../../src/ModelKeys.js"
import { describeWithPython, runPython } from "../support/python.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-envelope-"))
afterAll(() => rmSync(directory, { recursive: true }))
const python = <Shape>(request: unknown): Promise<Shape> => {
  const file = join(directory, "request.json")
  writeFileSync(file, JSON.stringify(request))
  return runPython<Shape>("envelope.py", file)
}

const load = (environment: Readonly<Record<string, string>>) =>
  modelKeys.pipe(
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(environment)))),
    Effect.provide(NodeContext.layer)
  )
const made = makeModelKeys()
const keysOf = (environment = { TELEMETRY_ENCRYPTION_KEY: made.encryption, MODEL_SIGNING_KEY: made.signing }) =>
  Effect.runPromise(load(environment))
const seal = (keys: EnvelopeKeys, pickle: Uint8Array, metadata: { readonly [key: string]: PythonJson }) =>
  sealModel(pickle, metadata, keys, { iv: randomBytes(16), nowMs: 1_795_354_038_417 })

describe("Fernet", () => {
  // https://github.com/fernet/spec/blob/master/generate.json and verify.json
  const key = fernetKey("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")!
  const token = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
  const iv = Uint8Array.from({ length: 16 }, (_, i) => i)

  it("makes and opens the specification's token", () => {
    assert.strictEqual(fernetEncrypt(key, Buffer.from("hello"), 499_162_800, iv), token)
    assert.strictEqual(fernetDecrypt(key, token)?.toString(), "hello")
  })

  it("gives nothing for a changed token, another key, or what is none", () => {
    const bytes = Buffer.from(token, "base64url")
    for (let i = 0; i < bytes.length; i++) {
      const changed = Buffer.from(bytes)
      changed[i]! ^= 1
      assert.isUndefined(fernetDecrypt(key, changed.toString("base64url")), `byte ${i}`)
    }
    assert.isUndefined(fernetDecrypt(fernetKey(made.encryption)!, token))
    for (const text of ["", "gAAAA", token.slice(0, -4), "{}"]) assert.isUndefined(fernetDecrypt(key, text))
    for (const text of ["", "change-me", `${made.encryption} `, made.encryption.slice(1), `${"A".repeat(42)}B=`]) {
      assert.isUndefined(fernetKey(text), text)
    }
  })

  it("gives nothing for what is signed and yet no token: another version, no whole blocks", () => {
    const signed = (bytes: Buffer) =>
      Buffer.concat([bytes, createHmac("sha256", key.signing).update(bytes).digest()]).toString("base64url")
    const bytes = Buffer.from(token, "base64url").subarray(0, -32)
    assert.strictEqual(fernetDecrypt(key, signed(bytes))?.toString(), "hello")
    for (const other of [
      Buffer.concat([Buffer.of(0x81), bytes.subarray(1)]),
      bytes.subarray(0, -1),
      bytes.subarray(0, 25)
    ]) {
      assert.isUndefined(fernetDecrypt(key, signed(other)), `${other.length} bytes`)
    }
  })
})

describe("an envelope", () => {
  const pickle = randomBytes(5_000)
  const metadata = { filename: "AERO_SLM.pkl", size_original: 5_000, timestamp: 1795354038.417, model: "Wärme" }

  it("opens with its key, and tells its metadata without", async () => {
    const keys = await keysOf()
    const text = seal(keys, pickle, metadata)
    const opened = Either.getOrThrow(openModel(text, keys.encryption, Option.getOrThrow(keys.signing)))
    assert.isTrue(opened.pickle.equals(pickle))
    assert.deepStrictEqual(opened.metadata, metadata)
    assert.match(text, /^[ -~]+$/)
    assert.notInclude(text, made.encryption)
  })

  it("is refused when any part of it was changed, with another key, and unsigned where a signature is asked for", async () => {
    const keys = await keysOf()
    const text = seal(keys, pickle, metadata)
    const open = (text: string) => openModel(text, keys.encryption, Option.getOrThrow(keys.signing))
    const envelope = JSON.parse(text)
    const changed: ReadonlyArray<object> = [
      { ...envelope, metadata: { ...metadata, size_original: 5_001 } },
      { ...envelope, metadata: { ...metadata, more: null } },
      { ...envelope, payload: `B${envelope.payload.slice(1)}` },
      { ...envelope, signature: envelope.signature.replace(/^./, (digit: string) => (digit === "0" ? "1" : "0")) },
      { ...envelope, signature: "" },
      { ...envelope, signature_ed25519: Buffer.alloc(64).toString("base64") },
      { ...envelope, signature_ed25519: undefined },
      { ...envelope, payload: 1 },
      {}
    ]
    assert.isTrue(Either.isRight(open(JSON.stringify(envelope))))
    for (const one of changed) assert.isTrue(Either.isLeft(open(JSON.stringify(one))), JSON.stringify(one).slice(0, 90))
    for (const one of ["", "{", text.slice(0, -1), "[]"]) assert.isTrue(Either.isLeft(open(one)))
    const other = makeModelKeys()
    assert.isTrue(Either.isLeft(openModel(text, Redacted.make(other.encryption))))
    const unsigned = await keysOf({ TELEMETRY_ENCRYPTION_KEY: made.encryption, MODEL_SIGNING_KEY: other.signing })
    assert.isTrue(Either.isLeft(open(seal(unsigned, pickle, metadata))))
    assert.isTrue(Either.isRight(openModel(seal(unsigned, pickle, metadata), keys.encryption)))
  })

  it("needs a key that is one: the sentence names the setting and the remedy", async () => {
    for (const [name, environment] of [
      ["TELEMETRY_ENCRYPTION_KEY", {}],
      ["TELEMETRY_ENCRYPTION_KEY", { TELEMETRY_ENCRYPTION_KEY: "secret" }],
      ["MODEL_SIGNING_KEY", { TELEMETRY_ENCRYPTION_KEY: made.encryption, MODEL_SIGNING_KEY: "secret" }]
    ] as const) {
      const error = await Effect.runPromise(Effect.flip(load(environment)))
      assert.include(error.message, name)
      assert.include(error.message, "telemetry keygen")
      assert.notInclude(error.message, "secret")
    }
    const keys = await keysOf()
    assert.strictEqual(publicBytes(Option.getOrThrow(keys.signing)).toString("base64"), made.verifying)
    assert.throws(() => createPrivateKey(made.verifying))
  })
})

describeWithPython("Python", () => {
  const edges = [
    0,
    -0,
    1,
    1.5,
    1e15,
    1e16,
    1e21,
    1.5e16,
    123456789012345680,
    1e-4,
    1e-5,
    0.1 + 0.2,
    5e-324,
    1.7976931348623157e308,
    2 ** 53,
    -(2 ** 53) - 2,
    9007199254740991,
    1e22,
    1e100,
    -1e-7,
    100,
    1795354038.417
  ]
  const number = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer(), fc.maxSafeInteger())
  const text = fc.string({ unit: "binary", maxLength: 12 })
  const { json } = fc.letrec<{ json: PythonJson }>((tie) => ({
    json: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constant(null),
      fc.boolean(),
      number,
      text,
      fc.array(tie("json"), { maxLength: 4 }),
      fc.dictionary(text, tie("json"), { maxKeys: 6 })
    )
  }))

  it("writes the JSON that it reads from us exactly as we do", async () => {
    const values = [
      ...edges,
      ...fc.sample(number, 2_000),
      ...fc.sample(json, 2_000),
      '\u007f\ud800\u2028"\\/\b\f\n\r\t\0'
    ]
    const texts = values.map(pythonJson)
    const again = await python<ReadonlyArray<string>>({ do: "dumps", texts })
    texts.forEach((text, i) => {
      assert.strictEqual(again[i], text)
      const value = values[i]
      if (typeof value === "number") assert.isTrue(Object.is(Number(text), value), text)
    })
  })

  it("opens our envelopes and we open Python's; changes and wrong keys are noticed on both sides", async () => {
    const keys = await keysOf()
    const pickle = randomBytes(999)
    const metadata = { ä: "\u{1f525}", "\uffff": 1, "\u{10000}": 2, share: 1e-7, size_original: 999, list: [1.5, null] }
    const file = join(directory, "model.enc")
    const open = (text: string) => {
      writeFileSync(file, text)
      const request = {
        do: "open",
        file,
        keys: [made.encryption, makeModelKeys().encryption],
        public_key: made.verifying
      }
      return python<{ opened: ReadonlyArray<{ pickle?: string; error?: string }>; signed: boolean }>(request)
    }
    const text = seal(keys, pickle, metadata)
    const { opened, signed } = await open(text)
    assert.deepStrictEqual(opened, [{ pickle: pickle.toString("base64") }, { error: "signature" }])
    assert.isTrue(signed)
    const envelope = JSON.parse(text)
    const tampered = await open(JSON.stringify({ ...envelope, metadata: { ...metadata, share: 1.1e-7 } }))
    assert.deepStrictEqual(tampered, { opened: [{ error: "signature" }, { error: "signature" }], signed: false })

    const theirs = await python<string>({
      do: "seal",
      key: made.encryption,
      metadata,
      pickle: pickle.toString("base64")
    })
    const ours = Either.getOrThrow(openModel(theirs, keys.encryption))
    assert.isTrue(ours.pickle.equals(pickle))
    assert.deepStrictEqual(ours.metadata, metadata)
  })
})
