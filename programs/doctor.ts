import { Command, Options } from "@effect/cli"
import { Console, Effect } from "effect"
import { dataDir } from "./dataDir.js"
import { diagnose } from "./diagnosis.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"

const json = Options.boolean("json").pipe(Options.withDescription("Print the findings as JSON"))

const marks = { ok: "ok", warning: "WARNING", problem: "PROBLEM" } as const

export const doctor = Command.make("doctor", { dataDir, json }, ({ dataDir, json }) =>
  Effect.gen(function* () {
    const findings = yield* diagnose(dataDir)
    const lines = findings.flatMap(({ check, finding, remedy, state }) => [
      `${marks[state].padEnd(9)}${check.padEnd(16)}${finding}`,
      ...(remedy === null ? [] : [`${" ".repeat(25)}→ ${remedy}`])
    ])
    yield* Console.log(json ? JSON.stringify({ findings }, null, 2) : lines.join("\n"))
    const problems = findings.filter(({ state }) => state === "problem").length
    if (problems > 0) {
      return yield* new ProgramFailure({ code: ExitCode.failed, message: `${problems} to be put right, see above` })
    }
  })
).pipe(
  Command.withDescription(
    "Look for what is wrong with settings, permissions, disk, clock, tokens, proxy and database; 1 when something must be put right. Example: telemetry doctor --json"
  )
)
