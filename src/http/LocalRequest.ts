import type { HttpServerRequest } from "@effect/platform"
import { Option } from "effect"
import { type RawAddress, rawAddress } from "../domain/Address.js"
import { isLoopback } from "../pipeline/Mask.js"

export const peerOf = (request: HttpServerRequest.HttpServerRequest): RawAddress =>
  rawAddress(Option.getOrElse(request.remoteAddress, () => ""))

/** Asked from this machine itself: a proxy on this machine says for whom it asks. */
export const isLocal = (request: HttpServerRequest.HttpServerRequest): boolean =>
  isLoopback(peerOf(request)) && !("x-forwarded-for" in request.headers) && !("forwarded" in request.headers)
