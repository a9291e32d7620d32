import { Command, Options } from "@effect/cli"
import { HttpClient } from "@effect/platform"
import { Effect, Option } from "effect"
import * as Settings from "../src/Settings.js"
import { unreachable } from "./askServer.js"

const url = Options.text("url").pipe(
  Options.withDescription("Where the server answers; by default where HOST and PORT say, on this machine"),
  Options.optional
)
const ready = Options.boolean("ready").pipe(
  Options.withDescription("Ask whether submissions can be stored, not only whether the process lives")
)

const everywhere = new Set(["0.0.0.0", "::"])

const ownUrl = Effect.gen(function* () {
  const host = yield* Settings.host
  const name = everywhere.has(host) ? "127.0.0.1" : host
  return `http://${name.includes(":") ? `[${name}]` : name}:${yield* Settings.port}`
})

/** For container engines and supervisors: no token, no output unless something is wrong. */
export const healthcheck = Command.make("healthcheck", { url, ready }, ({ ready, url }) =>
  Effect.gen(function* () {
    const base = yield* Option.match(url, { onNone: () => ownUrl, onSome: Effect.succeed })
    const client = yield* HttpClient.HttpClient
    const address = `${base.replace(/\/+$/, "")}${ready ? "/ready" : "/health"}`
    const { status } = yield* client.get(address).pipe(
      Effect.timeout("4 seconds"),
      Effect.mapError(() => unreachable(`no server answers at ${address}`))
    )
    if (status !== 200) return yield* unreachable(`${address} answered ${status}`)
  })
).pipe(
  Command.withDescription("End with 0 if the server lives, or with --ready if it accepts submissions, else with 4")
)
