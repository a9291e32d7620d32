import { isIPv4, isIPv6 } from "node:net"
import { Brand, Redacted } from "effect"

/**
 * A client's address as the socket, or a proxy that we trust, knows it. `Redacted` prints, serialises and inspects as
 * `<redacted>`, so it cannot reach a log or a body by accident; only `Mask` and `Grants` open it, and what they make of
 * it is no address any more.
 */
export type RawAddress = Redacted.Redacted<string> & Brand.Brand<"RawAddress">

const brandRaw = Brand.nominal<RawAddress>()

export const rawAddress = (address: string): RawAddress => brandRaw(Redacted.make(address))

/** What the rest of the program may see of an address: `1.2.xxx.xxx`, or the first 32 bits of an IPv6 one. */
export type MaskedIp = string & Brand.Brand<"MaskedIp">
export const MaskedIp = Brand.nominal<MaskedIp>()

/** The 8 groups of an IPv6 address, of which the last two may be written as an IPv4 one. */
const groupsOf = (address: string): ReadonlyArray<number> => {
  const hex = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
    [256 * a + +b, 256 * c + +d].map((group) => group.toString(16)).join(":")
  )
  const [left = [], right = []] = hex.split("::").map((part) => (part === "" ? [] : part.split(":")))
  const gap = Array.from({ length: 8 - left.length - right.length }, () => "0")
  return [...left, ...gap, ...right].map((group) => Number.parseInt(group, 16))
}

type ParsedAddress = { readonly ipv4: string } | { readonly ipv6: ReadonlyArray<number> } | undefined

/** IPv4-mapped IPv6, in whichever of its spellings, is IPv4. */
export const parseAddress = (text: string): ParsedAddress => {
  const address = text.replace(/%.*$/, "")
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

/** One spelling for each address; undefined when it is none. */
export const canonicalAddress = (text: string): string | undefined => {
  const address = parseAddress(text)
  if (address === undefined) return undefined
  return "ipv4" in address ? address.ipv4 : address.ipv6.map((group) => group.toString(16)).join(":")
}
