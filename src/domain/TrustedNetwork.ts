import { isIP } from "node:net"
import { canonicalAddress } from "./Address.js"

/** A range of addresses: those that agree with `address` in the first `prefix` bits. */
export interface TrustedNetwork {
  readonly address: string
  readonly prefix: number
}

/** `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`; undefined for anything else. */
export const networkOf = (text: string): TrustedNetwork | undefined => {
  const [, given = "", bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const address = canonicalAddress(given)
  if (address === undefined) return undefined
  const isMapped = isIP(given) === 6 && isIP(address) === 4
  const longest = isIP(address) === 4 ? 32 : 128
  const prefix = bits === undefined ? longest : Number(bits) - (isMapped ? 96 : 0)
  return prefix >= 0 && prefix <= longest ? { address, prefix } : undefined
}
