import { Options } from "@effect/cli"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { Effect, Option, type Redacted, type Schema } from "effect"
import { operatorToken } from "../src/AccessTokens.js"
import { Problem } from "../src/http/Problem.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { dataDir } from "./serve.js"

/** What every command that asks a running server takes. */
export const serverOptions = {
  url: Options.text("url").pipe(
    Options.withDescription("Where the server answers"),
    Options.withDefault("http://127.0.0.1:8000")
  ),
  token: Options.redacted("token").pipe(
    Options.withDescription("Token to ask with; by default ADMIN_TOKEN, AUTH_TOKEN or the one kept in DATA_DIR"),
    Options.optional
  ),
  dataDir
}

export interface ServerOptions {
  readonly url: string
  readonly token: Option.Option<Redacted.Redacted>
  readonly dataDir: string
}

export const unreachable = (message: string) => new ProgramFailure({ code: ExitCode.unreachable, message })

/** The answer to an operator's request, whose URL is the path alone; exit codes for everything else. */
export const askServer = Effect.fn("askServer")(function* <A, I>(
  { dataDir, token, url }: ServerOptions,
  request: HttpClientRequest.HttpClientRequest,
  schema: Schema.Schema<A, I>
) {
  const client = yield* HttpClient.HttpClient
  const bearer = yield* Option.match(token, { onNone: () => operatorToken(dataDir), onSome: Effect.succeed })
  const response = yield* client
    .execute(request.pipe(HttpClientRequest.prependUrl(url.replace(/\/+$/, "")), HttpClientRequest.bearerToken(bearer)))
    .pipe(
      Effect.timeout("10 seconds"),
      Effect.mapError(() => unreachable(`no server answers at ${url}; is it running? See --url`))
    )
  if (response.status === 200) {
    return yield* HttpClientResponse.schemaBodyJson(schema)(response).pipe(
      Effect.mapError(() => unreachable(`what answers at ${url} is not this server, or another release of it`))
    )
  }
  const { detail } = yield* HttpClientResponse.schemaBodyJson(Problem)(response).pipe(
    Effect.orElseSucceed(() => ({ detail: "no reason given" }))
  )
  return yield* response.status === 401 || response.status === 403
    ? new ProgramFailure({ code: ExitCode.failed, message: `${url} refused the token: ${detail}; see --token` })
    : unreachable(`${url} answered ${response.status}: ${detail}`)
})
