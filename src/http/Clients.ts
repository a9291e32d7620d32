/**
 * Who is on the other end of a request.
 *
 * `X-Forwarded-For` and `Forwarded` are lists to which every proxy appends the address it was called from, so they are
 * read from the right: as long as the one who appended is a proxy of `TRUSTED_PROXIES`, what it appended is believed.
 * The first address that is not one of them is the client's; whatever stands left of it the client may have made up. An
 * entry that is no address ends the walk at the proxy that wrote it. When both headers are there and tell different
 * stories, a proxy that writes only one of them has passed on the other as the client sent it, and neither is believed.
 *
 * https://www.rfc-editor.org/rfc/rfc7239 (Forwarded)
 */
import { BlockList, type IPVersion, isIPv4, isIPv6 } from "node:net"
import type { Headers, HttpServerRequest } from "@effect/platform"
import { Context, Effect, Layer, Option } from "effect"
import { canonicalAddress, type RawAddress, rawAddress } from "../domain/Address.js"
import type { TrustedNetwork } from "../domain/TrustedNetwork.js"
import { isLoopback } from "../pipeline/Mask.js"

const familyOf = (address: string): IPVersion => (isIPv4(address) ? "ipv4" : "ipv6")

/** IPv4-mapped addresses count as the IPv4 ones that they are. */
const trusting = (networks: ReadonlyArray<TrustedNetwork>) => {
  const list = new BlockList()
  for (const { address, prefix } of networks) list.addSubnet(address, prefix, familyOf(address))
  return (address: string): boolean => list.check(address, familyOf(address))
}

/** `1.2.3.4`, `1.2.3.4:5`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5` → the canonical address. */
const addressIn = (entry: string): string | undefined => {
  const text = entry.trim()
  const bracketed = /^\[([^\]]+)\](?::\w+)?$/.exec(text)?.[1]
  if (bracketed !== undefined) return isIPv6(bracketed) ? canonicalAddress(bracketed) : undefined
  return canonicalAddress(/^([\d.]+):\w+$/.exec(text)?.[1] ?? text)
}

/**
 * What commas separate, unless they stand within quotes; a quote without its end quotes nothing. One pass: a regular
 * expression goes back over all that follows such a quote, at every one of thousands.
 */
const elementsOf = (forwarded: string): ReadonlyArray<string> => {
  const elements: Array<string> = []
  let from = 0
  let isQuoting = true
  for (let at = 0; at < forwarded.length; at++) {
    if (forwarded[at] === '"' && isQuoting) {
      let end = at + 1
      while (end < forwarded.length && forwarded[end] !== '"') end += forwarded[end] === "\\" ? 2 : 1
      if (end < forwarded.length) at = end
      else isQuoting = false
    } else if (forwarded[at] === ",") {
      elements.push(forwarded.slice(from, at))
      from = at + 1
    }
  }
  return [...elements, forwarded.slice(from)].filter((element) => element !== "")
}

/** The parameter of each element of `Forwarded`, in order; undefined for an element without it. */
const parametersOf = (forwarded: string, name: string): ReadonlyArray<string | undefined> => {
  const parameter = new RegExp(`(?:^|;)\\s*${name}=("(?:[^"\\\\]|\\\\.)*"|[^;"]*)`, "i")
  return elementsOf(forwarded).map((element) =>
    parameter
      .exec(element)?.[1]
      ?.trim()
      .replace(/^"(.*)"$/s, "$1")
      .replace(/\\(.)/g, "$1")
  )
}

export interface Client {
  readonly address: RawAddress
  /** Asked from this machine itself: a proxy on this machine says for whom it asks. */
  readonly isLocal: boolean
  /** A trusted proxy says that it was asked over TLS. */
  readonly isHttps: boolean
  /** Somebody who is not in `TRUSTED_PROXIES` says for whom it asks. */
  readonly isThroughStranger: boolean
}

/** @param networks whose word about their clients is believed */
export const makeClientOf = (networks: ReadonlyArray<TrustedNetwork>) => {
  const isTrusted = trusting(networks)

  const walk = (peer: string, entries: ReadonlyArray<string | undefined>): string => {
    let client = peer
    for (let i = entries.length - 1; i >= 0 && isTrusted(client); i--) {
      const address = addressIn(entries[i] ?? "")
      if (address === undefined) break
      client = address
    }
    return client
  }

  return (peerAddress: string | undefined, headers: Headers.Headers): Client => {
    const forwardedFor = headers["x-forwarded-for"]
    const forwarded = headers.forwarded
    const isForwarded = forwardedFor !== undefined || forwarded !== undefined
    const peer = canonicalAddress(peerAddress ?? "")
    if (peer === undefined || !isTrusted(peer)) {
      const address = rawAddress(peer ?? "")
      const isLocal = isLoopback(address) && !isForwarded
      return { address, isLocal, isHttps: false, isThroughStranger: isForwarded }
    }
    const stories = [
      ...(forwardedFor === undefined ? [] : [walk(peer, forwardedFor.split(","))]),
      ...(forwarded === undefined ? [] : [walk(peer, parametersOf(forwarded, "for"))])
    ]
    const client = new Set(stories).size === 1 ? stories[0]! : peer
    const proto =
      headers["x-forwarded-proto"]?.split(",").at(-1)?.trim() ??
      (forwarded === undefined ? undefined : parametersOf(forwarded, "proto").at(-1))
    return {
      address: rawAddress(client),
      isLocal: !isForwarded && isLoopback(rawAddress(peer)),
      isHttps: proto?.toLowerCase() === "https",
      isThroughStranger: false
    }
  }
}

export class Clients extends Context.Tag("telemetry/http/Clients")<
  Clients,
  { readonly of: (request: HttpServerRequest.HttpServerRequest) => Client }
>() {
  static readonly layer = (networks: ReadonlyArray<TrustedNetwork>) =>
    Layer.effect(
      this,
      Effect.sync(() => {
        const clientOf = makeClientOf(networks)
        return { of: (request) => clientOf(Option.getOrUndefined(request.remoteAddress), request.headers) }
      })
    )
}
