import { createHmac, randomBytes } from "node:crypto"
import { Clock, Context, Effect, Layer, Redacted, Schedule } from "effect"
import { MaskedIp, parseAddress, type RawAddress } from "../domain/Address.js"

const parse = (raw: RawAddress) => parseAddress(Redacted.value(raw))

/**
 * IPv4 keeps its first two bytes (`1.2.xxx.xxx`), IPv6 its first 32 bits (`2001:db8:xxxx:…`), IPv4-mapped IPv6 is IPv4,
 * anything else becomes `unknown`.
 */
export const maskAddress = (raw: RawAddress): MaskedIp => {
  const address = parse(raw)
  if (address === undefined) return MaskedIp("unknown")
  if ("ipv4" in address) return MaskedIp(`${address.ipv4.split(".").slice(0, 2).join(".")}.xxx.xxx`)
  const [first, second] = address.ipv6.map((group) => group.toString(16))
  return MaskedIp(`${first}:${second}:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx`)
}

/** Whether the peer is this machine. */
export const isLoopback = (raw: RawAddress): boolean => {
  const address = parse(raw)
  if (address === undefined) return false
  if ("ipv4" in address) return address.ipv4.startsWith("127.")
  return address.ipv6.every((group, i) => group === (i === 7 ? 1 : 0))
}

/** What one customer of a provider has: an IPv4 address, or the 2^64 addresses of an IPv6 network. */
const networkOf = (raw: RawAddress): string => {
  const address = parse(raw)
  if (address === undefined) return ""
  return "ipv4" in address ? address.ipv4 : address.ipv6.slice(0, 4).join(":")
}

const dayMs = 86_400_000
const forgetEvery = Schedule.spaced("1 hour")

/**
 * Digests that tell addresses apart for a day: HMAC-SHA256 with a random key that is made anew each day, never leaves
 * memory, and is forgotten within an hour of the day's end.
 */
export const makeAddressDigests = () => {
  let salt: { readonly day: number; readonly key: Buffer } | undefined
  return {
    digest: (raw: RawAddress, nowMs: number): string => {
      const day = Math.floor(nowMs / dayMs)
      if (salt?.day !== day) salt = { day, key: randomBytes(32) }
      return createHmac("sha256", salt.key).update(networkOf(raw)).digest("base64url")
    },
    forget: (nowMs: number): void => {
      if (salt !== undefined && salt.day !== Math.floor(nowMs / dayMs)) salt = undefined
    }
  }
}

/** Fourth stage: a raw address → what the rest of the program may know of it. */
export class Mask extends Context.Tag("telemetry/pipeline/Mask")<
  Mask,
  {
    readonly address: (raw: RawAddress) => MaskedIp
    /** The same for all requests of one address on one day; good for nothing else. */
    readonly digest: (raw: RawAddress, nowMs: number) => string
  }
>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.gen(function* () {
      const digests = makeAddressDigests()
      const forget = Effect.map(Clock.currentTimeMillis, digests.forget)
      yield* Effect.forkScoped(Effect.repeat(forget, forgetEvery))
      return { address: maskAddress, digest: digests.digest }
    })
  )
}
