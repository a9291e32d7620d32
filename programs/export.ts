import { Command, Options } from "@effect/cli"
import { HttpClientRequest } from "@effect/platform"
import { Console, Effect, Schema, Stream } from "effect"
import { InstallationId } from "../src/domain/InstallationId.js"
import { requestServer, serverOptions } from "./askServer.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"

export const installation = Options.text("installation").pipe(
  Options.withDescription("Installation id of the home, as its logger shows it"),
  Options.filterMap(
    Schema.decodeOption(InstallationId),
    "--installation must be the id of a home, a UUID such as 3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3; telemetry installations lists them"
  )
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

const newline = 10
const linesIn = (bytes: Uint8Array): number => {
  let lines = 0
  for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, at + 1)) lines++
  return lines
}

export const exportHome = Command.make(
  "export",
  { ...serverOptions, installation, format },
  ({ format, installation, ...server }) =>
    Effect.gen(function* () {
      const request = HttpClientRequest.post("/api/v1/installations/export").pipe(
        HttpClientRequest.bodyUnsafeJson({ installation_id: installation, format })
      )
      const response = yield* requestServer(server, request)
      const linesOfEmpty = format === "csv" ? 1 : 0
      const lines = yield* response.stream.pipe(
        Stream.mapError(cutOff),
        Stream.runFoldEffect(0, (lines, bytes) =>
          Effect.as(toStdout(bytes), lines > linesOfEmpty ? lines : lines + linesIn(bytes))
        )
      )
      if (lines <= linesOfEmpty) {
        yield* Console.error(
          `Nothing is stored of ${installation}: is it the right id? telemetry installations lists the homes`
        )
      }
    })
).pipe(
  Command.withDescription(
    "Write all data of one home to stdout. Example: telemetry export --installation ID --format csv > home.csv"
  )
)
