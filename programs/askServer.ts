import { Options } from "@effect/cli"
import { HttpClient, type HttpClientError, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { type Cause, Config, type Duration, Effect, Option, type Redacted, type Schema } from "effect"
import { operatorToken } from "../src/AccessTokens.js"
import { Problem } from "../src/http/Problem.js"
import * as Settings from "../src/Settings.js"
import { dataDir } from "./dataDir.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"

const everywhere = new Set(["0.0.0.0", "::"])

/** Where a server with the same settings answers, on this machine. */
const ownUrl = Config.map(Config.all({ host: Settings.host, port: Settings.port }), ({ host, port }) => {
  const name = everywhere.has(host) ? "127.0.0.1" : host
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`
})

export const url = Options.text("url").pipe(
  Options.withDescription("Where the server answers; by default where HOST and PORT say, on this machine"),
  Options.filterMap(
    Option.liftPredicate((url) => /^https?:\/\//i.test(url) && URL.canParse(url)),
    "--url must be a URL such as http://127.0.0.1:8000"
  ),
  Options.withFallbackConfig(ownUrl)
)

/** What every command that asks a running server takes. */
export const serverOptions = {
  url,
  token: Options.redacted("token").pipe(
    Options.withDescription("Token to ask with; by default ADMIN_TOKEN, AUTH_TOKEN or the one kept in DATA_DIR"),
    Options.optional
  ),
  dataDir
}

interface ServerOptions {
  readonly url: string
  readonly token: Option.Option<Redacted.Redacted>
  readonly dataDir: string
}

export const unreachable = (message: string) => new ProgramFailure({ code: ExitCode.unreachable, message })

/** Nobody there, nobody who answers in time, or somebody who hangs up: each has another remedy. */
const noAnswer = (url: string, error: HttpClientError.HttpClientError | Cause.TimeoutException): string => {
  if (error._tag === "TimeoutException") return `${url} did not answer in time; see the server's log`
  const { cause } = error
  return cause instanceof Error && "code" in cause && cause.code === "ECONNRESET"
    ? `${url} hung up instead of answering; see the server's log`
    : `no server answers at ${url}; is it running? See --url`
}

/** The 200 to an operator's request, whose URL is the path alone; exit codes for everything else. */
export const requestServer = Effect.fn("requestServer")(function* (
  { dataDir, token, url }: ServerOptions,
  request: HttpClientRequest.HttpClientRequest,
  timeout: Duration.DurationInput = "10 seconds"
) {
  const client = yield* HttpClient.HttpClient
  const bearer = yield* Option.match(token, { onNone: () => operatorToken(dataDir), onSome: Effect.succeed })
  const response = yield* client
    .execute(request.pipe(HttpClientRequest.prependUrl(url.replace(/\/+$/, "")), HttpClientRequest.bearerToken(bearer)))
    .pipe(
      Effect.timeout(timeout),
      Effect.mapError((error) => unreachable(noAnswer(url, error)))
    )
  if (response.status === 200) return response
  const { detail } = yield* HttpClientResponse.schemaBodyJson(Problem)(response).pipe(
    Effect.orElseSucceed(() => ({ detail: "no reason given" }))
  )
  return yield* response.status === 401 || response.status === 403
    ? new ProgramFailure({ code: ExitCode.failed, message: `${url} refused the token: ${detail}; see --token` })
    : unreachable(`${url} answered ${response.status}: ${detail}`)
})

/** The same, read as JSON. */
export const askServer = Effect.fn("askServer")(function* <A, I>(
  server: ServerOptions,
  request: HttpClientRequest.HttpClientRequest,
  schema: Schema.Schema<A, I>,
  timeout?: Duration.DurationInput
) {
  const response = yield* requestServer(server, request, timeout)
  return yield* HttpClientResponse.schemaBodyJson(schema)(response).pipe(
    Effect.mapError(() => unreachable(`what answers at ${server.url} is not this server, or another release of it`))
  )
})
