import { isIPv4, isIPv6 } from "node:net"
import { Context, Layer, Redacted } from "effect"
import { MaskedIp, type RawAddress } from "../domain/Address.js"

const mappedPrefix = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i

const plain = (raw: RawAddress): string => Redacted.value(raw).replace(/%.*$/, "").replace(mappedPrefix, "")

/** The 8 groups of an IPv6 address that is written without an embedded IPv4 one. */
const groupsOf = (address: string): ReadonlyArray<string> => {
  const [head = "", tail] = address.split("::")
  const left = head === "" ? [] : head.split(":")
  const right = tail === undefined || tail === "" ? [] : tail.split(":")
  return [...left, ...Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => "0"), ...right]
}

/**
 * IPv4 keeps its first two bytes (`1.2.xxx.xxx`), IPv6 its first 32 bits (`2001:db8:xxxx:…`), IPv4-mapped IPv6 is IPv4,
 * anything else becomes `unknown`.
 */
export const maskAddress = (raw: RawAddress): MaskedIp => {
  const address = plain(raw)
  if (isIPv4(address)) return MaskedIp(`${address.split(".").slice(0, 2).join(".")}.xxx.xxx`)
  if (isIPv6(address)) {
    const [first, second] = groupsOf(address).map((group) => group.toLowerCase().replace(/^0+(?=.)/, ""))
    return MaskedIp(`${first}:${second}:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx`)
  }
  return MaskedIp("unknown")
}

/** Whether the peer is this machine. */
export const isLoopback = (raw: RawAddress): boolean => {
  const address = plain(raw)
  return address === "::1" || (isIPv4(address) && address.startsWith("127."))
}

/** Third stage: the only one that opens a raw address. */
export class Mask extends Context.Tag("telemetry/pipeline/Mask")<
  Mask,
  { readonly address: (raw: RawAddress) => MaskedIp }
>() {
  static readonly layer = Layer.succeed(this, { address: maskAddress })
}
