import { randomBytes } from "node:crypto"
import { HttpApi, HttpApiBuilder, HttpApp, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Cause, Clock, Context, DefaultServices, Effect, Exit, Option } from "effect"
import { Metrics } from "../observability/Metrics.js"
import { IsTracing } from "../observability/Tracing.js"
import { maskAddress } from "../pipeline/Mask.js"
import { Quotas } from "../pipeline/Quotas.js"
import { Api } from "./Api.js"
import { type Client, Clients } from "./Clients.js"
import { lingerUntilRead } from "./NodeServer.js"
import { answer, problem } from "./Problems.js"
import { requestObserver } from "./RequestMetrics.js"
import { withRequestSpan } from "./RequestSpan.js"

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

const answerFailure = (request: HttpServerRequest.HttpServerRequest, cause: Cause.Cause<unknown>) => {
  if (Cause.isInterruptedOnly(cause)) return Effect.interrupt
  if (Option.exists(Cause.failureOption(cause), isRouteNotFound)) return Effect.succeed(notRouted(request))
  return Effect.as(Effect.logError("BUG: unhandled failure", cause), problem(500, "Internal error; it was logged"))
}

/** An answer before the end of the request closes its connection, gently. */
const closeUnread = (
  request: HttpServerRequest.HttpServerRequest,
  response: HttpServerResponse.HttpServerResponse
): HttpServerResponse.HttpServerResponse => {
  const incoming = NodeHttpServerRequest.toIncomingMessage(request)
  const hasBody = "transfer-encoding" in request.headers || Number(request.headers["content-length"] ?? 0) > 0
  if (response.status < 400 || incoming.complete || !hasBody) return response
  lingerUntilRead(incoming)
  return HttpServerResponse.setHeader(response, "connection", "close")
}

/** Half a year: a proxy that has TLS once is expected to have it from then on. */
const strictTransport = "max-age=15768000"

const withHeaders = (response: HttpServerResponse.HttpServerResponse, { isHttps }: Client) =>
  HttpServerResponse.setHeaders(response, {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": response.headers["cache-control"] ?? "no-store",
    ...(isHttps ? { "strict-transport-security": strictTransport } : {})
  })

/** Between the client and the handlers. */
export const layerEdge = HttpApiBuilder.middleware(
  Effect.gen(function* () {
    const clients = yield* Clients
    const quotas = yield* Quotas
    const warnOnce = yield* Effect.once(
      Effect.logWarning(
        "requests come through a proxy that is not in TRUSTED_PROXIES: all who use it count as one address"
      )
    )

    /** This machine's own requests and health checks always get through. */
    const withinQuota = <E, R>(
      request: HttpServerRequest.HttpServerRequest,
      client: Client,
      app: HttpApp.Default<E, R>
    ) => {
      if (client.isLocal || pathOf(request) === "/health") return app
      return quotas.request(client.address).pipe(
        Effect.matchEffect({
          onFailure: answer,
          onSuccess: () =>
            Effect.tap(app, ({ status }) =>
              quotas.refused(client.address).pipe(Effect.when(() => isTheirFault(status)))
            )
        })
      )
    }

    return (app: HttpApp.Default) =>
      Effect.withFiberRuntime((fiber) => {
        const request = Context.unsafeGet(fiber.currentContext, HttpServerRequest.HttpServerRequest)
        const client = clients.of(request)
        // Answers what no handler did: unknown addresses, and our own mistakes, which are logged and never described
        // outside.
        const answered = Effect.catchAllCause(app, (cause) => answerFailure(request, cause))
        return withinQuota(request, client, answered).pipe(
          Effect.zipLeft(Effect.when(warnOnce, () => client.isThroughStranger)),
          Effect.map((response) => withHeaders(closeUnread(request, response), client))
        )
      })
  })
)

const isTheirFault = (status: number) => status >= 400 && status < 500 && status !== 429
/** Asked every few seconds by machines: their lines would drown the others. */
const probes = new Set(["/health", "/ready", "/metrics"])

const requestCancelled = 499

const statusOf = (exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>): number => {
  if (Exit.isSuccess(exit)) return exit.value.status
  return Cause.isInterrupted(exit.cause) ? requestCancelled : 500
}

/**
 * One line per request: method, route, status, duration, masked address. No query, no header, no body. Whatever is
 * logged on behalf of the request has its id, which its answer names too.
 */
export const accessLog = <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R | Clients> =>
  Effect.withFiberRuntime((fiber) => {
    const clients = Context.unsafeGet(fiber.currentContext, Clients)
    const request = Context.unsafeGet(fiber.currentContext, HttpServerRequest.HttpServerRequest)
    const clock = Context.get(fiber.getFiberRef(DefaultServices.currentServices), Clock.Clock)
    const startMs = clock.unsafeCurrentTimeMillis()
    const requestId = randomBytes(8).toString("hex")
    const observe = requestObserver(Context.get(fiber.currentContext, Metrics), request)
    // Now: a closed socket has no address any more.
    const client = maskAddress(clients.of(request).address)
    // What this middleware stands around has sent the answer when it ends.
    const identified = Effect.zipRight(
      HttpApp.appendPreResponseHandler((_request, response) =>
        Effect.succeed(HttpServerResponse.setHeader(response, "x-request-id", requestId))
      ),
      app
    )
    const route = routeOf(request)
    const answering = Effect.onExit(identified, (exit) => {
      const status = statusOf(exit)
      const durationMs = clock.unsafeCurrentTimeMillis() - startMs
      observe(route, status, durationMs)
      const isProbe = status < 400 && probes.has(route)
      const log = isProbe ? Effect.logDebug : Effect.logInfo
      return log("request", {
        method: request.method,
        route,
        status,
        durationMs,
        client
      })
    }).pipe(Effect.annotateLogs("requestId", requestId))
    if (!Context.get(fiber.currentContext, IsTracing)) return answering
    return probes.has(route)
      ? Effect.withTracerEnabled(answering, false)
      : withRequestSpan(answering, { method: request.method, route, requestId, statusOf })
  })
