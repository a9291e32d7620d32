import { Command, Options, Prompt } from "@effect/cli"
import { HttpClientRequest } from "@effect/platform"
import { Console, Effect } from "effect"
import { ErasureReceipt } from "../src/http/RightsApi.js"
import { askServer, serverOptions } from "./askServer.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { installation } from "./export.js"
import { some } from "./some.js"

const dryRun = Options.boolean("dry-run").pipe(Options.withDescription("Only show what would be erased"))
const yes = Options.boolean("yes").pipe(Options.withAlias("y"), Options.withDescription("Do not ask"))
const deleteDamaged = Options.boolean("delete-damaged").pipe(
  Options.withDescription("Also delete the files that repairs of the store have set aside, whosever data they hold")
)
const json = Options.boolean("json").pipe(Options.withDescription("Print the receipt as JSON"))

/** For the operator to keep, and to give to the person. */
const report = (receipt: ErasureReceipt): string => {
  const { records, samples } = receipt
  const what =
    records === null || samples === null
      ? "what the database holds of it, which this server did not receive and has not counted"
      : `${some(records, "record")}, ${some(samples, "sample")}`
  const time = new Date(receipt.at * 1000).toISOString()
  const lines = receipt.is_dry_run
    ? [`Would be erased of ${receipt.installation_id}: ${what}`]
    : [
        `Erased at ${time} all data of ${receipt.installation_id}: ${what}`,
        "What its logger still sends is refused (410); what a restored backup brings back is erased again."
      ]
  if (receipt.is_dry_run && samples === 0) {
    lines.push("Nothing is stored of it: is it the right id? telemetry installations lists the homes")
  }
  if (receipt.deleted_files.length > 0) lines.push(`Deleted: ${receipt.deleted_files.join(", ")}`)
  if (receipt.damaged_files.length > 0) {
    lines.push(
      `May still hold data of this home: ${receipt.damaged_files.join(", ")} (set aside by a repair; erase with --delete-damaged)`
    )
  }
  for (const { is_current, name, version } of receipt.affected_models) {
    const which =
      version === null ? "trained, not published" : `version ${version}${is_current ? ", which clients get" : ""}`
    lines.push(`Trained with this home: ${name} (${which}); train anew`)
  }
  if (receipt.models_of_unknown_homes > 0) {
    lines.push(`Models of which nobody knows whose data they had: ${receipt.models_of_unknown_homes}`)
  }
  return lines.join("\n")
}

const needsConsent = new ProgramFailure({
  code: ExitCode.usage,
  message: "erasing cannot be undone: say --yes, or look first with --dry-run"
})

/** VictoriaMetrics may take its time to forget. */
const eraseTimeout = "5 minutes"

export const erase = Command.make(
  "erase",
  { ...serverOptions, installation, dryRun, yes, deleteDamaged, json },
  ({ deleteDamaged, dryRun, installation, json, yes, ...server }) =>
    Effect.gen(function* () {
      const ask = (isDryRun: boolean) =>
        askServer(
          server,
          HttpClientRequest.post("/api/v1/installations/erase").pipe(
            HttpClientRequest.bodyUnsafeJson({
              installation_id: installation,
              dry_run: isDryRun,
              delete_damaged: deleteDamaged
            })
          ),
          ErasureReceipt,
          eraseTimeout
        )
      const show = (receipt: ErasureReceipt) => Console.log(json ? JSON.stringify(receipt, null, 2) : report(receipt))
      if (dryRun) return yield* Effect.flatMap(ask(true), show)
      if (!yes) {
        if (!process.stdin.isTTY) return yield* needsConsent
        yield* Effect.flatMap(ask(true), (preview) => Console.error(report(preview)))
        const isSure = yield* Prompt.confirm({ message: "Erase it for ever?" }).pipe(Effect.orElseSucceed(() => false))
        if (!isSure) return yield* new ProgramFailure({ code: ExitCode.failed, message: "nothing was erased" })
      }
      yield* Effect.flatMap(ask(false), show)
    })
).pipe(
  Command.withDescription("Erase all data of one home, for ever. Example: telemetry erase --installation ID --dry-run")
)
