/** Which status each expected error is answered with; the only place that knows. */
import { HttpServerResponse } from "@effect/platform"
import { Effect } from "effect"
import type { RegistryError } from "../artifact/Registry.js"
import type { IngestError } from "../pipeline/Ingest.js"
import type { StoreError } from "../store/Store.js"

/** An answer with its one sentence; the sentence holds nothing that was submitted. */
export const problem = (status: number, detail: string, headers: Record<string, string> = {}) =>
  HttpServerResponse.unsafeJson({ detail }, { status, headers })

const statusOf = {
  CredentialsMissing: 401,
  CredentialsRefused: 403,
  NotJson: 400,
  BodyMalformed: 400,
  BodyTooSlow: 408,
  LengthRequired: 411,
  BodyTooLarge: 413,
  MediaTypeUnsupported: 415,
  EnvelopeMismatch: 422,
  Overloaded: 429,
  QuotaExceeded: 429,
  InstallationErased: 410,
  StoreFull: 503,
  StoreError: 503
} as const satisfies Record<IngestError["_tag"], number>

const failureRetryAfterSeconds = 60

/** A failing store is worth the operator's attention and the client's second try; its cause stays in the log. */
export const answerFailing = (error: StoreError | RegistryError, detail: string) =>
  Effect.as(
    Effect.logError(error.message, error.cause),
    problem(503, `${detail}. Please retry later`, { "retry-after": String(failureRetryAfterSeconds) })
  )

/** To a logger, whatever of the store failed: its records are not stored. */
export const answerSubmission = (error: IngestError) =>
  error._tag === "StoreError" ? answerFailing(error, "Not stored: the server cannot write now") : answer(error)

/** The answer to an expected error; what an operator has to do something about is logged too. */
export const answer = Effect.fn("Problems.answer")(function* (error: IngestError) {
  const status = statusOf[error._tag]
  switch (error._tag) {
    case "CredentialsMissing":
      return problem(status, error.detail, { "www-authenticate": 'Bearer realm="telemetry"' })
    case "StoreFull":
      yield* Effect.logError(`refusing submissions: ${error.detail}`)
      return problem(status, error.detail, { "retry-after": String(error.retryAfterSeconds) })
    case "Overloaded":
      yield* Effect.logWarning("refusing a submission: too many bytes in flight; see MAX_IN_FLIGHT_BYTES")
      return problem(status, error.detail, { "retry-after": String(error.retryAfterSeconds) })
    case "QuotaExceeded":
      return problem(status, error.detail, { "retry-after": String(error.retryAfterSeconds) })
    case "StoreError":
      return yield* answerFailing(error, `The server failed to ${error.operation}, and its log says why`)
    default:
      return problem(status, error.detail)
  }
})
