import { isIPv4, isIPv6 } from "node:net"
import { Context, Layer, Redacted } from "effect"
import { MaskedIp, type RawAddress } from "../domain/Address.js"

/** The 8 groups of an IPv6 address, of which the last two may be written as an IPv4 one. */
const groupsOf = (address: string): ReadonlyArray<number> => {
  const hex = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
    [256 * a + +b, 256 * c + +d].map((group) => group.toString(16)).join(":")
  )
  const [left = [], right = []] = hex.split("::").map((part) => (part === "" ? [] : part.split(":")))
  const gap = Array.from({ length: 8 - left.length - right.length }, () => "0")
  return [...left, ...gap, ...right].map((group) => Number.parseInt(group, 16))
}

type Parsed = { readonly ipv4: string } | { readonly ipv6: ReadonlyArray<number> } | undefined

/** IPv4-mapped IPv6, in whichever of its spellings, is IPv4. */
const parse = (raw: RawAddress): Parsed => {
  const address = Redacted.value(raw).replace(/%.*$/, "")
  if (isIPv4(address)) return { ipv4: address }
  if (!isIPv6(address)) return undefined
  const groups = groupsOf(address)
  if (groups.slice(0, 5).some((group) => group !== 0) || groups[5] !== 0xffff) return { ipv6: groups }
  return {
    ipv4: groups
      .slice(6)
      .flatMap((group) => [group >> 8, group & 255])
      .join(".")
  }
}

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

/** Third stage: the only one that opens a raw address. */
export class Mask extends Context.Tag("telemetry/pipeline/Mask")<
  Mask,
  { readonly address: (raw: RawAddress) => MaskedIp }
>() {
  static readonly layer = Layer.succeed(this, { address: maskAddress })
}
