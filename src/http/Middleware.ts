import { HttpApi, HttpApiBuilder, HttpMiddleware, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { NodeHttpServerRequest } from "@effect/platform-node"
import { Cause, Clock, Effect, Exit, Option } from "effect"
import { rawAddress } from "../domain/Address.js"
import { Mask } from "../pipeline/Mask.js"
import { Api } from "./Api.js"
import { lingerUntilRead } from "./NodeServer.js"
import { problem } from "./Problems.js"

const routes = new Map<string, Array<string>>([
  ["/openapi.json", ["GET", "HEAD"]],
  ["/docs", ["GET", "HEAD"]]
])
HttpApi.reflect(Api, {
  onGroup: () => {},
  onEndpoint: ({ endpoint: { method, path } }) => {
    routes.set(path, [...(routes.get(path) ?? []), method, ...(method === "GET" ? ["HEAD"] : [])])
  }
})

const pathOf = (request: HttpServerRequest.HttpServerRequest): string => request.url.split("?", 1)[0]!

/** A name for the log: what a client invented is not repeated. */
const routeOf = (request: HttpServerRequest.HttpServerRequest): string => {
  const path = pathOf(request)
  return routes.has(path) ? path : "(none)"
}

const notRouted = (request: HttpServerRequest.HttpServerRequest) => {
  const methods = routes.get(pathOf(request))
  return methods === undefined
    ? problem(404, "There is nothing at this address; see /docs")
    : problem(405, "This address does not answer that method", { allow: [...methods].sort().join(", ") })
}

const isRouteNotFound = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "RouteNotFound"

/** What no handler answered: unknown addresses, and our own mistakes, which are logged and never described outside. */
export const layerProblems = HttpApiBuilder.middleware((app) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
    Effect.catchAllCause(app, (cause) => {
      if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause)
      if (Option.exists(Cause.failureOption(cause), isRouteNotFound)) return Effect.succeed(notRouted(request))
      return Effect.as(Effect.logError("BUG: unhandled failure", cause), problem(500, "Internal error; it was logged"))
    })
  )
)

/** An answer before the end of the request closes its connection, gently. */
export const layerLinger = HttpApiBuilder.middleware((app) =>
  Effect.gen(function* () {
    const request = NodeHttpServerRequest.toIncomingMessage(yield* HttpServerRequest.HttpServerRequest)
    const response = yield* app
    if (response.status < 400 || request.complete) return response
    lingerUntilRead(request)
    return HttpServerResponse.setHeader(response, "connection", "close")
  })
)

const requestCancelled = 499

/** One line per request: method, route, status, duration, masked address. No query, no header, no body. */
export const accessLog = HttpMiddleware.make((app) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const mask = yield* Mask
    const startMs = yield* Clock.currentTimeMillis
    const exit = yield* Effect.exit(app)
    const status = Exit.match(exit, {
      onSuccess: (response) => response.status,
      onFailure: (cause) => (Cause.isInterrupted(cause) ? requestCancelled : 500)
    })
    const route = routeOf(request)
    const isProbe = status < 400 && (route === "/health" || route === "/ready")
    yield* Effect.annotateLogs(isProbe ? Effect.logDebug("request") : Effect.logInfo("request"), {
      method: request.method,
      route,
      status,
      durationMs: (yield* Clock.currentTimeMillis) - startMs,
      client: Option.match(request.remoteAddress, {
        onNone: () => "unknown",
        onSome: (address) => mask.address(rawAddress(address))
      })
    })
    return yield* exit
  })
)
