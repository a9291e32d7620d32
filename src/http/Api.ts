import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { LastTraining } from "../artifact/LastTraining.js"
import { Verdict } from "../domain/Submission.js"
import { Community, PublishedModels } from "./CommunityApi.js"
import { MetricsGroup } from "./MetricsApi.js"
import { problemWith as problem } from "./Problem.js"
import { Rights } from "./RightsApi.js"

const BadRequest = problem(400, "Not JSON, or the body is damaged")
const Unauthorized = problem(401, "No bearer token")
const Forbidden = problem(403, "The token is not valid")
const TimedOut = problem(408, "The request came too slowly")
const Gone = problem(410, "The data of this installation has been erased on request")
const LengthRequired = problem(411, "No body")
const PayloadTooLarge = problem(413, "Too large, on the wire or after decompression")
const UnsupportedMediaType = problem(415, "Content-Type or Content-Encoding is not supported")
const UnprocessableContent = problem(422, "JSON, but not a submission")
const TooManyRequests = problem(429, "Too much at once; see Retry-After")
const Unavailable = problem(503, "Cannot store durably now; see Retry-After")

const Sensors = Schema.Record({
  key: Schema.String,
  value: Schema.Union(
    Schema.Number,
    Schema.Boolean,
    Schema.String,
    Schema.Null,
    Schema.Struct({ value: Schema.Number, text: Schema.String })
  )
})

/** What loggers send, for people and generated clients; `pipeline/Decode` is what reads it. */
const SubmitPayload = Schema.Struct({
  installation_id: Schema.UUID.annotations({ description: "Pseudonym of the home; not the nil UUID" }),
  heatpump_model: Schema.optional(
    Schema.NullOr(Schema.String).annotations({ description: "Absent, null and empty mean unknown; a space equals _" })
  ),
  version: Schema.optional(Schema.NullOr(Schema.String).annotations({ description: "Version of the logger" })),
  data: Schema.Array(
    Schema.Struct(
      {
        timestamp: Schema.Number.annotations({ description: "Unix seconds; ms, µs and ns are recognised" }),
        heatpumps: Schema.optional(
          Schema.Array(
            Schema.Struct({
              id: Schema.String,
              manufacturer: Schema.optional(Schema.NullOr(Schema.String)),
              model: Schema.optional(Schema.NullOr(Schema.String)),
              values: Sensors
            })
          ).annotations({ description: "The nested shape: the sensors of each heat pump" })
        )
      },
      { key: Schema.String, value: Schema.Unknown }
    )
  ).annotations({ description: "Records: each a timestamp and its sensors, flat or by heat pump" })
}).annotations({
  identifier: "Submission",
  examples: [
    {
      installation_id: "3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3",
      heatpump_model: "AERO SLM",
      version: "1.0.1",
      data: [{ timestamp: 1795354038.417, temp_outside: 5.5, status_heat_pump: 1 }]
    }
  ]
})

export const SubmitResult = Schema.Struct({
  status: Schema.Literal("success"),
  processed: Schema.Int.annotations({ description: "Records stored; with `rejected` the number sent" }),
  rejected: Schema.Int,
  fields_dropped: Schema.Int.annotations({ description: "Fields refused in records that were stored all the same" }),
  duplicate: Schema.Boolean.annotations({ description: "Stored before; nothing was stored twice" }),
  receipt: Schema.String.annotations({ description: "SHA-256 of what was stored" }),
  errors: Schema.Array(Verdict).annotations({ description: "The first 100 refusals; the counts are complete" })
}).annotations({ identifier: "SubmitResult" })
export type SubmitResult = typeof SubmitResult.Type

const seconds = Schema.Number.annotations({ description: "Unix seconds" })

export const JournalStatus = Schema.Struct({
  waiting_blocks: Schema.Int.annotations({ description: "Accepted, and not yet sent to the database" }),
  waiting_samples: Schema.Int,
  oldest_waiting_seconds: Schema.NullOr(Schema.Number).annotations({ description: "Age of the longest waiting block" }),
  settling_blocks: Schema.Int.annotations({
    description: "Taken by the database, and kept until a crash of it cannot lose them any more"
  }),
  quarantined_blocks: Schema.Int.annotations({
    description: "Refused by the database; kept until they are sent again"
  }),
  quarantine: Schema.Array(Schema.Struct({ reason: Schema.String, blocks: Schema.Int, samples: Schema.Int })),
  bytes: Schema.Int.annotations({ description: "Compressed bytes of all these blocks" }),
  max_bytes: Schema.Int,
  drained_samples_per_second: Schema.Number.annotations({ description: "Over the last minute" }),
  full_in_seconds: Schema.NullOr(Schema.Number).annotations({
    description: "At the pace of the last minute; null while it does not grow"
  }),
  database_error: Schema.NullOr(
    Schema.Struct({
      at: seconds,
      since: seconds.annotations({ description: "Unix seconds of the first failure in a row" }),
      detail: Schema.String,
      is_over: Schema.Boolean
    })
  ).annotations({ description: "The last time the database did not do what it was asked" })
}).annotations({ identifier: "JournalStatus" })
export type JournalStatus = typeof JournalStatus.Type

const journal = Schema.NullOr(JournalStatus).annotations({
  description: "What is on its way to the database; null for the embedded store"
})

export const Readiness = Schema.Struct({ status: Schema.Literal("ready"), journal })
export type Readiness = typeof Readiness.Type

/** Blocks that have left the quarantine and wait again. */
export const Resent = Schema.Struct({ resent_blocks: Schema.Int })
export type Resent = typeof Resent.Type

export const Status = Schema.Struct({
  status: Schema.Literal("online"),
  active_installations_30d: Schema.Int,
  timestamp: Schema.Number.annotations({ description: "Unix seconds" }),
  version: Schema.String,
  uptime_seconds: Schema.Number,
  store: Schema.Struct({
    kind: Schema.Literal("embedded", "victoriametrics"),
    ready: Schema.Boolean,
    detail: Schema.NullOr(Schema.String).annotations({ description: "Why it is not ready" }),
    installations: Schema.Int,
    blocks: Schema.Int,
    records: Schema.Int,
    samples: Schema.Int,
    bytes_on_disk: Schema.Int,
    last_submission: Schema.NullOr(Schema.Number).annotations({ description: "Unix seconds" }),
    oldest_day: Schema.NullOr(Schema.String).annotations({
      description: "UTC day of the oldest sample, or, behind a database, on which the oldest block was received"
    }),
    retention_days: Schema.Number.annotations({
      description: "Age at which samples are refused, and removed from the embedded store; a database has its own"
    }),
    damaged_files: Schema.Array(Schema.String).annotations({ description: "Set aside by repairs; may be deleted" })
  }),
  journal,
  models: PublishedModels.fields.models,
  training: Schema.NullOr(LastTraining).annotations({
    description: "The last run of train --all; null before the first"
  })
}).annotations({ identifier: "Status" })
export type Status = typeof Status.Type

const bearer = { security: [{ bearer: [] }] }

class Ingest extends HttpApiGroup.make("ingest", { topLevel: true }).add(
  HttpApiEndpoint.post("submit", "/api/v1/submit")
    .setPayload(SubmitPayload)
    .addSuccess(SubmitResult)
    .addError(BadRequest)
    .addError(Unauthorized)
    .addError(Forbidden)
    .addError(TimedOut)
    .addError(Gone)
    .addError(LengthRequired)
    .addError(PayloadTooLarge)
    .addError(UnsupportedMediaType)
    .addError(UnprocessableContent)
    .addError(TooManyRequests)
    .addError(Unavailable)
    .annotate(OpenApi.Override, bearer)
    .annotate(OpenApi.Summary, "Store records")
    .annotate(
      OpenApi.Description,
      "200 means: every processed record survives a crash and a power cut from now on. One bad record or field never costs its neighbours."
    )
) {}

class Quarantine extends HttpApiGroup.make("quarantine", { topLevel: true }).add(
  HttpApiEndpoint.post("resend", "/api/v1/quarantine/resend")
    .addSuccess(Resent)
    .addError(Unauthorized)
    .addError(Forbidden)
    .addError(Unavailable)
    .annotate(OpenApi.Override, bearer)
    .annotate(OpenApi.Summary, "Send quarantined blocks to the database again")
    .annotate(OpenApi.Description, "Needs the admin token, as the status does.")
) {}

class System extends HttpApiGroup.make("system", { topLevel: true })
  .add(
    HttpApiEndpoint.get("health", "/health")
      .addSuccess(Schema.Struct({ status: Schema.Literal("ok") }))
      .annotate(OpenApi.Summary, "The process lives")
  )
  .add(
    HttpApiEndpoint.get("ready", "/ready")
      .addSuccess(Readiness)
      .addError(Unavailable)
      .annotate(OpenApi.Summary, "Submissions can be stored durably")
  ) {}

class Admin extends HttpApiGroup.make("admin", { topLevel: true }).add(
  HttpApiEndpoint.get("status", "/api/v1/status")
    .addSuccess(Status)
    .addError(Unauthorized)
    .addError(Forbidden)
    .addError(Unavailable)
    .annotate(OpenApi.Override, bearer)
    .annotate(OpenApi.Summary, "What the server has and does")
    .annotate(
      OpenApi.Description,
      "Needs the admin token; without one configured, a logger's token from this machine itself will do."
    )
) {}

const addBearerScheme = (spec: Record<string, unknown>): Record<string, unknown> => {
  const components = typeof spec.components === "object" ? spec.components : {}
  return { ...spec, components: { ...components, securitySchemes: { bearer: { type: "http", scheme: "bearer" } } } }
}

/** The whole HTTP contract, and nothing of how it is kept. */
export class Api extends HttpApi.make("telemetry")
  .add(Ingest)
  .add(System)
  .add(Admin)
  .add(Quarantine)
  .add(Rights)
  .add(Community)
  .add(MetricsGroup)
  .annotate(OpenApi.Title, "Heat pump telemetry collector")
  .annotate(OpenApi.Description, "Receives and keeps the sensor records that loggers in homes upload once a day.")
  .annotate(OpenApi.License, { name: "MIT" })
  .annotate(OpenApi.Transform, addBearerScheme) {}
