import { Command, Options } from "@effect/cli"
import { HttpClientRequest } from "@effect/platform"
import { Effect, Stream } from "effect"
import { InstallationId } from "../src/domain/InstallationId.js"
import { requestServer, serverOptions } from "./askServer.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"

export const installation = Options.text("installation").pipe(
  Options.withDescription("Installation id of the home, as its logger shows it"),
  Options.withSchema(InstallationId)
)
const format = Options.choice("format", ["jsonl", "csv"]).pipe(
  Options.withDescription("JSON lines, or CSV with one line per sample"),
  Options.withDefault("jsonl" as const)
)

const cutOff = () =>
  new ProgramFailure({ code: ExitCode.failed, message: "the export was cut off and is not whole; export again" })

/** Bytes as they come, no faster than whoever reads stdout takes them. */
const toStdout = (bytes: Uint8Array) =>
  Effect.async<void, ProgramFailure>((resume) => {
    process.stdout.write(bytes, (error) => resume(error ? Effect.fail(cutOff()) : Effect.void))
  })

export const exportHome = Command.make(
  "export",
  { ...serverOptions, installation, format },
  ({ format, installation, ...server }) =>
    Effect.gen(function* () {
      const request = HttpClientRequest.post("/api/v1/installations/export").pipe(
        HttpClientRequest.bodyUnsafeJson({ installation_id: installation, format })
      )
      const response = yield* requestServer(server, request)
      yield* Stream.runForEach(Stream.mapError(response.stream, cutOff), toStdout)
    })
).pipe(
  Command.withDescription(
    "Write all data of one home to stdout. Example: telemetry export --installation ID --format csv > home.csv"
  )
)
