import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto"
import { Effect, Option, Redacted } from "effect"
import { type EnvelopeKeys, publicBytes } from "./artifact/Envelope.js"
import { fernetKey } from "./artifact/Fernet.js"
import { readSecret, SettingInvalid } from "./Secrets.js"
import * as Settings from "./Settings.js"

const remedy = "; make one with: telemetry keygen"

/** PKCS #8 of an Ed25519 key up to its 32 bytes (RFC 8410, section 7). */
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex")

const signingKeyOf = (text: string): KeyObject | undefined => {
  const seed = Buffer.from(text, "base64")
  if (seed.length !== 32 || seed.toString("base64") !== text) return undefined
  return createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: "der", type: "pkcs8" })
}

/** The keys without which no model can be published. */
export const modelKeys = Effect.gen(function* () {
  const encryption = yield* readSecret(Settings.encryptionKey)
  if (Option.isNone(encryption)) {
    const reason = `is not set, and models are only published encrypted${remedy}`
    return yield* new SettingInvalid({ setting: Settings.encryptionKey, reason })
  }
  if (fernetKey(Redacted.value(encryption.value.value)) === undefined) {
    const reason = `is not a Fernet key, 32 bytes in 44 characters of base64url${remedy}`
    return yield* new SettingInvalid({ setting: encryption.value.setting, reason })
  }
  const signing = yield* readSecret(Settings.signingKey)
  const key = yield* Option.match(signing, {
    onNone: () => Effect.succeedNone,
    onSome: ({ setting, value }) => {
      const key = signingKeyOf(Redacted.value(value))
      return key === undefined
        ? new SettingInvalid({ setting, reason: `is not an Ed25519 key, 32 bytes in base64${remedy}` })
        : Effect.succeedSome(key)
    }
  })
  const keys: EnvelopeKeys = { encryption: encryption.value.value, signing: key }
  return keys
})

/** New keys as they go into the environment, and the public half to hand to whoever verifies. */
export const makeModelKeys = () => {
  const { privateKey } = generateKeyPairSync("ed25519")
  const bytes = randomBytes(32).toString("base64")
  return {
    encryption: bytes.replaceAll("+", "-").replaceAll("/", "_"),
    signing: privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32).toString("base64"),
    verifying: publicBytes(privateKey).toString("base64")
  }
}
