import { Command, Options } from "@effect/cli"
import { HttpClientRequest } from "@effect/platform"
import { Console, Effect } from "effect"
import { InstallationList } from "../src/http/RightsApi.js"
import { askServer, serverOptions } from "./askServer.js"

const json = Options.boolean("json").pipe(Options.withDescription("Print the server's answer as JSON"))
const count = new Intl.NumberFormat("en")

const inCount = (counted: number | null) => (counted === null ? "not counted" : count.format(counted))

const line = ({ installation_id, last_submission, records, samples }: InstallationList["installations"][number]) => {
  const heard = last_submission === null ? "unknown" : new Date(last_submission * 1000).toISOString().slice(0, 16)
  return `${installation_id}  ${heard.padEnd(16)}  ${inCount(records).padStart(13)}  ${inCount(samples).padStart(15)}`
}
const heading = `${"Installation".padEnd(36)}  ${"Last submission".padEnd(16)}  ${"Records".padStart(13)}  ${"Samples".padStart(15)}`

export const installations = Command.make("installations", { ...serverOptions, json }, ({ json, ...server }) =>
  Effect.gen(function* () {
    const answer = yield* askServer(server, HttpClientRequest.get("/api/v1/installations"), InstallationList)
    if (json) return yield* Console.log(JSON.stringify(answer, null, 2))
    if (answer.total === 0) return yield* Console.log("No data of any home are stored")
    yield* Console.log([heading, ...answer.installations.map(line)].join("\n"))
  })
).pipe(
  Command.withDescription("List the homes whose data are stored, with times in UTC. Example: telemetry installations")
)
