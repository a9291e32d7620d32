import { Command } from "@effect/cli"
import { HttpClientRequest } from "@effect/platform"
import { Console, Effect } from "effect"
import { Resent } from "../src/http/Api.js"
import { askServer, serverOptions } from "./askServer.js"
import { some } from "./some.js"

export const resend = Command.make("resend", serverOptions, (server) =>
  Effect.gen(function* () {
    const { resent_blocks } = yield* askServer(server, HttpClientRequest.post("/api/v1/quarantine/resend"), Resent)
    yield* Console.log(
      resent_blocks === 0
        ? "Nothing is in quarantine"
        : `Out of quarantine and waiting again: ${some(resent_blocks, "block")}`
    )
  })
).pipe(
  Command.withDescription(
    "Send the blocks that the database refused to it again, once its fault is found. Example: telemetry resend"
  )
)
