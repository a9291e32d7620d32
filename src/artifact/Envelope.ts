/**
 * `<MODEL>.enc`: an encrypted and signed model, as loggers store it and the ml-service opens it.
 *
 * `{"version": "2.0", "metadata": {…}, "payload": …, "signature": …, "signature_ed25519": …, "signing_key_id": …}`
 *
 * - `payload`: base64 of the Fernet token (itself base64url text) of the pickle.
 * - Both signatures are over the ASCII bytes of `payload + "." + pythonJson(metadata)`.
 * - `signature`: hexadecimal HMAC-SHA256, its key the 44 characters of the Fernet key as they stand. Every client has
 *   that key, so it tells damage and strangers' files, not which holder of the key made a file.
 * - `signature_ed25519`: base64, RFC 8032; only the operator can make it. Clients that do not know it ignore it.
 */
import { createHash, createHmac, createPublicKey, type KeyObject, sign, timingSafeEqual, verify } from "node:crypto"
import { Data, Either, Option, Redacted, Schema } from "effect"
import { fernetDecrypt, fernetEncrypt, fernetKey } from "./Fernet.js"
import { type PythonJson, pythonJson } from "./PythonJson.js"

/** What an envelope is not: whole, or made with this key. */
class EnvelopeInvalid extends Data.TaggedError("EnvelopeInvalid")<{ readonly reason: string }> {
  override get message() {
    return `the encrypted model is not valid: ${this.reason}`
  }
}

export interface EnvelopeKeys {
  /** A Fernet key: 44 characters of base64url. */
  readonly encryption: Redacted.Redacted
  /** Ed25519, private. */
  readonly signing: Option.Option<KeyObject>
}

/** The key in use is checked where it is read. */
const halvesOf = (key: Redacted.Redacted) => {
  const halves = fernetKey(Redacted.value(key))
  if (halves === undefined) throw new Error("BUG: an encryption key that is none")
  return halves
}

const hmacOf = (key: Redacted.Redacted, message: Buffer) =>
  createHmac("sha256", Redacted.value(key)).update(message).digest()

const messageOf = (payload: string, metadata: PythonJson) => Buffer.from(`${payload}.${pythonJson(metadata)}`, "latin1")

/** The 32 bytes of an Ed25519 public key, from its DER form (RFC 8410). */
export const publicBytes = (key: KeyObject): Buffer =>
  createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32)

/** Names a key without showing it: 16 hexadecimal digits. */
export const signingKeyId = (key: KeyObject): string =>
  createHash("sha256").update(publicBytes(key)).digest("hex").slice(0, 16)

/**
 * @param metadata shown to whoever reads the file, without a key; `size_original` and `filename` by custom
 * @param iv 16 random bytes
 */
export const sealModel = (
  pickle: Uint8Array,
  metadata: { readonly [key: string]: PythonJson },
  keys: EnvelopeKeys,
  { iv, nowMs }: { readonly iv: Uint8Array; readonly nowMs: number }
): string => {
  const token = fernetEncrypt(halvesOf(keys.encryption), pickle, Math.floor(nowMs / 1000), iv)
  const payload = Buffer.from(token, "latin1").toString("base64")
  const message = messageOf(payload, metadata)
  return pythonJson({
    version: "2.0",
    metadata,
    payload,
    signature: hmacOf(keys.encryption, message).toString("hex"),
    ...Option.match(keys.signing, {
      onNone: () => ({}),
      onSome: (key) => ({
        signature_ed25519: sign(null, message, key).toString("base64"),
        signing_key_id: signingKeyId(key)
      })
    })
  })
}

const Metadata: Schema.Schema<{ readonly [key: string]: PythonJson }> = Schema.Record({
  key: Schema.String,
  value: Schema.suspend((): Schema.Schema<PythonJson> => Json)
})
const Json: Schema.Schema<PythonJson> = Schema.Union(
  Schema.Null,
  Schema.Boolean,
  Schema.Number,
  Schema.String,
  Schema.Array(Schema.suspend(() => Json)),
  Schema.suspend(() => Metadata)
)
const decodeEnvelope = Schema.decodeUnknownEither(
  Schema.parseJson(
    Schema.Struct({
      metadata: Metadata,
      payload: Schema.String,
      signature: Schema.String,
      signature_ed25519: Schema.optional(Schema.String)
    })
  )
)

interface OpenedModel {
  readonly metadata: { readonly [key: string]: PythonJson }
  readonly pickle: Buffer
}

/**
 * Opens what `sealModel` made. Of envelopes by others, one whose metadata hold a float without a fraction (`1.0`) is
 * refused: JavaScript does not tell it from an integer.
 * @param signedBy the Ed25519 key, public or private, without whose signature nothing is accepted
 */
export const openModel = (
  text: string,
  encryption: Redacted.Redacted,
  signedBy?: KeyObject
): Either.Either<OpenedModel, EnvelopeInvalid> => {
  const invalid = (reason: string) => Either.left(new EnvelopeInvalid({ reason }))
  const decoded = decodeEnvelope(text)
  if (Either.isLeft(decoded)) return invalid("it is not an envelope")
  const { metadata, payload, signature, signature_ed25519 } = decoded.right
  const message = messageOf(payload, metadata)
  const expected = Buffer.from(hmacOf(encryption, message).toString("hex"))
  const sent = Buffer.from(signature)
  if (sent.length !== expected.length || !timingSafeEqual(sent, expected)) {
    return invalid("its signature does not fit; another key, or it was changed")
  }
  if (signedBy !== undefined) {
    const isSigned =
      signature_ed25519 !== undefined &&
      verify(null, message, createPublicKey(signedBy), Buffer.from(signature_ed25519, "base64"))
    if (!isSigned) return invalid("it is not signed by the operator's key")
  }
  const pickle = fernetDecrypt(halvesOf(encryption), Buffer.from(payload, "base64").toString("latin1"))
  return pickle === undefined ? invalid("its payload cannot be decrypted") : Either.right({ metadata, pickle })
}
