import { createHash, timingSafeEqual } from "node:crypto"
import { Context, Data, Effect, Layer, Redacted } from "effect"

/** No bearer token was sent. */
class CredentialsMissing extends Data.TaggedError("CredentialsMissing")<{ readonly detail: string }> {}

/** A token was sent that does not open this. */
class CredentialsRefused extends Data.TaggedError("CredentialsRefused")<{ readonly detail: string }> {}

export type AuthError = CredentialsMissing | CredentialsRefused

/** Who may submit, or who may see the operator's side. */
type Principal = "logger" | "admin"

export interface Tokens {
  /** All valid at once, so that a new token can be handed out before the old one is withdrawn. */
  readonly logger: ReadonlyArray<Redacted.Redacted>
  /** Empty: loggers' tokens open the operator's side too, but only from this machine. */
  readonly admin: ReadonlyArray<Redacted.Redacted>
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/** Compares digests of equal length with every token, so that the time taken tells nothing about any of them. */
const matcher = (tokens: ReadonlyArray<Redacted.Redacted>) => {
  const digests = tokens.map((token) => digest(Redacted.value(token)))
  return (token: string): boolean => {
    const sent = digest(token)
    return digests.reduce((found, valid) => timingSafeEqual(valid, sent) || found, false)
  }
}

const bearerToken = (authorization: string | undefined): Effect.Effect<string, CredentialsMissing> => {
  const match = /^bearer +([^\s]+) *$/i.exec(authorization ?? "")
  return match === null
    ? new CredentialsMissing({ detail: "Send the header Authorization: Bearer <token>" })
    : Effect.succeed(match[1]!)
}

const refused = new CredentialsRefused({ detail: "The token is not valid for this request" })

/** First stage: an `Authorization` header → who is asking. */
export class Auth extends Context.Tag("telemetry/pipeline/Auth")<
  Auth,
  {
    readonly logger: (authorization: string | undefined) => Effect.Effect<Principal, AuthError>
    /** @param isLocal whether the request was made on this machine and not passed on by a proxy */
    readonly admin: (authorization: string | undefined, isLocal: boolean) => Effect.Effect<Principal, AuthError>
    /** From now on these are the valid ones. */
    readonly replace: (tokens: Tokens) => Effect.Effect<void>
  }
>() {
  static readonly layer = (tokens: Tokens) =>
    Layer.sync(this, () => {
      const gatesOf = ({ admin, logger }: Tokens) => ({
        isLogger: matcher(logger),
        isAdmin: matcher(admin),
        hasAdminToken: admin.length > 0
      })
      let gates = gatesOf(tokens)
      return {
        replace: (tokens) =>
          Effect.sync(() => {
            gates = gatesOf(tokens)
          }),
        logger: (authorization) =>
          Effect.filterOrFail(
            bearerToken(authorization),
            (token) => gates.isLogger(token),
            () => refused
          ).pipe(Effect.as("logger")),
        admin: (authorization, isLocal) =>
          Effect.filterOrFail(
            bearerToken(authorization),
            (token) => (gates.hasAdminToken ? gates.isAdmin(token) : isLocal && gates.isLogger(token)),
            () => refused
          ).pipe(Effect.as("admin"))
      }
    })
}
