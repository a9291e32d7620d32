/**
 * Fernet tokens: AES-128-CBC, then HMAC-SHA256 over everything before it, in base64url.
 * https://github.com/fernet/spec/blob/master/Spec.md
 *
 * `0x80 ‖ seconds, 64 bits big-endian ‖ IV, 16 bytes ‖ ciphertext ‖ HMAC, 32 bytes`; of the key's 32 bytes the first
 * half signs and the second encrypts. The age of a token is not looked at: a model does not expire.
 */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from "node:crypto"

const version = 0x80
const ivBytes = 16
const macBytes = 32
const headerBytes = 1 + 8 + ivBytes

/** The two halves of a key in its usual form, 44 characters of base64url; undefined when it is none. */
export const fernetKey = (text: string): { readonly signing: Buffer; readonly encryption: Buffer } | undefined => {
  if (!/^[A-Za-z0-9_-]{43}=$/.test(text)) return undefined
  const bytes = Buffer.from(text, "base64url")
  // The last character carries two bits that belong to no byte.
  if (`${bytes.toString("base64url")}=` !== text) return undefined
  return { signing: bytes.subarray(0, 16), encryption: bytes.subarray(16) }
}

type Key = NonNullable<ReturnType<typeof fernetKey>>

const macOf = (key: Key, signed: Buffer) => createHmac("sha256", key.signing).update(signed).digest()

/** With padding, as Python writes and demands it. */
const toBase64Url = (bytes: Buffer) => bytes.toString("base64").replaceAll("+", "-").replaceAll("/", "_")

/** @param iv 16 bytes that no other token of this key has */
export const fernetEncrypt = (key: Key, plain: Uint8Array, seconds: number, iv: Uint8Array): string => {
  const header = Buffer.alloc(headerBytes)
  header.writeUInt8(version)
  header.writeBigUInt64BE(BigInt(seconds), 1)
  header.set(iv, 1 + 8)
  const cipher = createCipheriv("aes-128-cbc", key.encryption, iv)
  const signed = Buffer.concat([header, cipher.update(plain), cipher.final()])
  return toBase64Url(Buffer.concat([signed, macOf(key, signed)]))
}

/** The plain bytes; undefined for a token that this key did not make. */
export const fernetDecrypt = (key: Key, token: string): Buffer | undefined => {
  const bytes = Buffer.from(token, "base64url")
  if (bytes.length < headerBytes + macBytes || bytes[0] !== version) return undefined
  const signed = bytes.subarray(0, -macBytes)
  if (!timingSafeEqual(macOf(key, signed), bytes.subarray(-macBytes))) return undefined
  try {
    const decipher = createDecipheriv("aes-128-cbc", key.encryption, bytes.subarray(1 + 8, headerBytes))
    return Buffer.concat([decipher.update(signed.subarray(headerBytes)), decipher.final()])
  } catch {
    // Signed, and yet no whole blocks: nothing that Fernet makes.
    return undefined
  }
}
