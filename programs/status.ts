import { Command, Options } from "@effect/cli"
import { HttpClientRequest } from "@effect/platform"
import { Console, Effect, Schema } from "effect"
import type { LastTraining } from "../src/artifact/LastTraining.js"
import { type JournalStatus, Status } from "../src/http/Api.js"
import { askServer, serverOptions, unreachable } from "./askServer.js"
import { duration } from "./duration.js"
import { inBytes } from "./inBytes.js"
import { count, some } from "./some.js"

const json = Options.boolean("json").pipe(Options.withDescription("Print the server's answer as JSON"))

/** An estimate of years from the trickle of an idle hour tells nobody anything. */
const farAwaySeconds = 365 * 86_400

/** What is between the server and its database. */
const journalLines = (journal: JournalStatus): ReadonlyArray<readonly [string, string]> => {
  const { database_error: error, full_in_seconds, oldest_waiting_seconds: oldest } = journal
  const waiting = `${some(journal.waiting_blocks, "block")}, ${some(journal.waiting_samples, "sample")}`
  const percent = (100 * journal.bytes) / journal.max_bytes
  const share = percent > 0 && percent < 1 ? "below 1" : Math.ceil(percent)
  const isNear = full_in_seconds !== null && full_in_seconds < farAwaySeconds
  const full = isNear ? `, full in ${duration(full_in_seconds)}` : ""
  return [
    ["Waiting", oldest === null ? "nothing" : `${waiting}, the oldest for ${duration(oldest)}`],
    [
      "Journal",
      `${inBytes(journal.bytes)} of ${inBytes(journal.max_bytes)} (${share} %)${full}, draining ${some(journal.drained_samples_per_second, "sample")}/s`
    ],
    ...journal.quarantine.map(
      ({ blocks, reason, samples }) =>
        [
          "Quarantined",
          `${some(blocks, "block")}, ${some(samples, "sample")}: ${reason}; see telemetry resend`
        ] as const
    ),
    [
      "Database",
      error === null
        ? "taking writes"
        : error.is_over
          ? `taking writes; last trouble ${new Date(error.at * 1000).toISOString()}: ${error.detail}`
          : `NOT taking writes since ${new Date(error.since * 1000).toISOString()}: ${error.detail}`
    ]
  ]
}

/** What the night brought. */
const trainingLines = ({ finished, models, next, started }: LastTraining): ReadonlyArray<readonly [string, string]> => {
  const at = (seconds: number) => new Date(seconds * 1000).toISOString()
  const end = finished === null ? "running, or cut off" : `took ${duration(finished - started)}`
  return [
    ["Training", `${at(started)}, ${end}${next === null ? "" : `; next ${at(next)}`}`],
    ...models.map(({ detail, model, result }) => ["Trained", `${model}: ${result}, ${detail}`] as const)
  ]
}

/** For people: the same facts as the JSON, a line each. */
const report = (url: string, status: Status): string => {
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
    ["Stored", `${some(store.records, "record")}, ${some(store.samples, "sample")}`],
    [
      "Oldest day",
      store.kind === "embedded"
        ? `${store.oldest_day ?? "none yet"}; removed after ${count.format(store.retention_days)} days (RETENTION_DAYS)`
        : `${store.oldest_day ?? "none yet"}, of those received here; the database removes by its -retentionPeriod`
    ],
    [
      "Store",
      `${store.kind === "embedded" ? `embedded, ${inBytes(store.bytes_on_disk)}` : "VictoriaMetrics"}, ${store.ready ? "accepting submissions" : `NOT accepting submissions: ${store.detail}`}`
    ],
    ...(store.damaged_files.length === 0
      ? []
      : [
          [
            "Damaged files",
            `${store.damaged_files.join(", ")}: set aside by repairs, and may hold erased data`
          ] as const
        ]),
    ...(status.journal === null ? [] : journalLines(status.journal)),
    ...(status.models.length === 0
      ? [["Models", "none published"] as const]
      : status.models.map(
          (m) => ["Model", `${m.name}, ${inBytes(m.size_bytes)}, ${new Date(m.modified * 1000).toISOString()}`] as const
        )),
    ...(status.training === null ? [] : trainingLines(status.training))
  ]
  return lines.map(([name, text]) => `${name.padEnd(17)}${text}`).join("\n")
}

export const status = Command.make("status", { ...serverOptions, json }, ({ json, ...server }) =>
  Effect.gen(function* () {
    const answer = yield* askServer(server, HttpClientRequest.get("/api/v1/status"), Status)
    yield* Console.log(json ? JSON.stringify(Schema.encodeSync(Status)(answer), null, 2) : report(server.url, answer))
    if (!answer.store.ready) {
      return yield* unreachable(`the server does not accept submissions: ${answer.store.detail}`)
    }
  })
).pipe(
  Command.withDescription(
    "Show active installations, the server's and the models' state. Example: telemetry status --json"
  )
)
