import { Command, Options } from "@effect/cli"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { Console, Effect, Option, type Redacted, Schema } from "effect"
import { operatorToken } from "../src/AccessTokens.js"
import { Problem, Status } from "../src/http/Api.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { dataDir } from "./serve.js"

const url = Options.text("url").pipe(
  Options.withDescription("Where the server answers"),
  Options.withDefault("http://127.0.0.1:8000")
)
const token = Options.redacted("token").pipe(
  Options.withDescription("Token to ask with; by default ADMIN_TOKEN, AUTH_TOKEN or the one kept in DATA_DIR"),
  Options.optional
)
const json = Options.boolean("json").pipe(Options.withDescription("Print the server's answer as JSON"))

const unreachable = (message: string) => new ProgramFailure({ code: ExitCode.unreachable, message })

const ask = Effect.fn("status.ask")(function* (url: string, token: Redacted.Redacted) {
  const client = yield* HttpClient.HttpClient
  const request = HttpClientRequest.get(`${url.replace(/\/+$/, "")}/api/v1/status`).pipe(
    HttpClientRequest.bearerToken(token)
  )
  const response = yield* client.execute(request).pipe(
    Effect.timeout("10 seconds"),
    Effect.mapError(() => unreachable(`no server answers at ${url}; is it running? See --url`))
  )
  if (response.status === 200) {
    return yield* HttpClientResponse.schemaBodyJson(Status)(response).pipe(
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

const count = new Intl.NumberFormat("en")
const bytes = (n: number): string => {
  const unit = Math.min(4, Math.floor(Math.log10(Math.max(1, n)) / 3))
  return `${(n / 1000 ** unit).toFixed(unit === 0 ? 0 : 1)} ${["B", "kB", "MB", "GB", "TB"][unit]}`
}
const duration = (seconds: number): string => {
  const minutes = Math.floor(seconds / 60)
  const hours = Math.floor(minutes / 60)
  const days = Math.floor(hours / 24)
  if (days > 0) return `${days} d ${hours % 24} h`
  return hours > 0 ? `${hours} h ${minutes % 60} min` : `${minutes} min ${Math.floor(seconds % 60)} s`
}

/** For people: the same facts as the JSON, a line each. */
export const report = (url: string, status: Status): string => {
  const { store } = status
  const last = store.last_submission
  const lines: ReadonlyArray<readonly [string, string]> = [
    ["Server", `online at ${url}, version ${status.version}, up ${duration(status.uptime_seconds)}`],
    [
      "Installations",
      `${count.format(status.active_installations_30d)} active in the last 30 days, ${count.format(store.installations)} in all`
    ],
    [
      "Last submission",
      last === null ? "none yet" : `${new Date(last * 1000).toISOString()} (${duration(status.timestamp - last)} ago)`
    ],
    ["Stored", `${count.format(store.records)} records, ${count.format(store.samples)} samples`],
    [
      "Store",
      `embedded, ${bytes(store.bytes_on_disk)}, ${store.ready ? "accepting submissions" : `NOT accepting submissions: ${store.detail}`}`
    ],
    ...(status.models.length === 0
      ? [["Models", "none yet"] as const]
      : status.models.map(
          (m) => ["Model", `${m.name}, ${bytes(m.size_bytes)}, ${new Date(m.modified * 1000).toISOString()}`] as const
        ))
  ]
  return lines.map(([name, text]) => `${name.padEnd(17)}${text}`).join("\n")
}

export const status = Command.make("status", { url, token, json, dataDir }, (options) =>
  Effect.gen(function* () {
    const token = yield* Option.match(options.token, {
      onNone: () => operatorToken(options.dataDir),
      onSome: Effect.succeed
    })
    const answer = yield* ask(options.url, token)
    yield* Console.log(
      options.json ? JSON.stringify(Schema.encodeSync(Status)(answer), null, 2) : report(options.url, answer)
    )
    if (!answer.store.ready) {
      return yield* unreachable(`the server does not accept submissions: ${answer.store.detail}`)
    }
  })
).pipe(
  Command.withDescription(
    "Show active installations, the server's and the models' state. Example: telemetry status --json"
  )
)
