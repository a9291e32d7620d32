import { Brand, Redacted } from "effect"

/**
 * A peer's address as the socket knows it. `Redacted` prints, serialises and inspects as `<redacted>`, so it cannot
 * reach a log or a body by accident; `Mask` is the only stage that opens it.
 */
export type RawAddress = Redacted.Redacted<string> & Brand.Brand<"RawAddress">

const brandRaw = Brand.nominal<RawAddress>()

export const rawAddress = (address: string): RawAddress => brandRaw(Redacted.make(address))

/** What the rest of the program may see of an address: `1.2.xxx.xxx`, or the first 32 bits of an IPv6 one. */
export type MaskedIp = string & Brand.Brand<"MaskedIp">
export const MaskedIp = Brand.nominal<MaskedIp>()
