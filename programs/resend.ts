import { Command } from "@effect/cli"
import { HttpClientRequest } from "@effect/platform"
import { Console, Effect } from "effect"
import { Resent } from "../src/http/Api.js"
import { askServer, serverOptions } from "./askServer.js"

export const resend = Command.make("resend", serverOptions, (server) =>
  Effect.gen(function* () {
    const { resent_blocks } = yield* askServer(server, HttpClientRequest.post("/api/v1/quarantine/resend"), Resent)
    yield* Console.log(
      resent_blocks === 0 ? "Nothing is in quarantine" : `${resent_blocks} blocks left the quarantine and wait again`
    )
  })
).pipe(
  Command.withDescription(
    "Send the blocks that the database refused to it again, once its fault is found. Example: telemetry resend"
  )
)
