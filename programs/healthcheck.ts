import { Command, Options } from "@effect/cli"
import { HttpClient } from "@effect/platform"
import { Effect } from "effect"
import { unreachable, url } from "./askServer.js"

const ready = Options.boolean("ready").pipe(
  Options.withDescription("Ask whether submissions can be stored, not only whether the process lives")
)

/** For container engines and supervisors: no token, no output unless something is wrong. */
export const healthcheck = Command.make("healthcheck", { url, ready }, ({ ready, url }) =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const address = `${url.replace(/\/+$/, "")}${ready ? "/ready" : "/health"}`
    const { status } = yield* client.get(address).pipe(
      Effect.timeout("4 seconds"),
      Effect.mapError(() => unreachable(`no server answers at ${address}`))
    )
    if (status !== 200) return yield* unreachable(`${address} answered ${status}`)
  })
).pipe(
  Command.withDescription("End with 0 if the server lives, or with --ready if it accepts submissions, else with 4")
)
