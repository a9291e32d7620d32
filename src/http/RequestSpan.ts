import type { HttpServerResponse } from "@effect/platform"
import { Effect, type Exit } from "effect"
import { spanAttributes } from "../observability/Tracing.js"

/** The span of one request: the root of a trace, because what a client sends of its own is not believed. */
export const withRequestSpan = <E, R>(
  answering: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  request: {
    readonly method: string
    readonly route: string
    readonly requestId: string
    readonly statusOf: (exit: Exit.Exit<HttpServerResponse.HttpServerResponse, E>) => number
  }
) =>
  Effect.useSpan(
    `${request.method} ${request.route}`,
    {
      root: true,
      kind: "server",
      captureStackTrace: false,
      attributes: {
        [spanAttributes.method]: request.method,
        [spanAttributes.route]: request.route,
        [spanAttributes.requestId]: request.requestId
      }
    },
    (span) =>
      answering.pipe(
        Effect.withParentSpan(span),
        Effect.onExit((exit) => Effect.sync(() => span.attribute(spanAttributes.status, request.statusOf(exit))))
      )
  )
