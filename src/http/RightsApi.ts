import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { InstallationId } from "../domain/InstallationId.js"
import { problemWith as problem } from "./Problem.js"

const counted = Schema.NullOr(Schema.Int).annotations({
  description:
    "As counted on arrival; null where nobody has: written by another program, or longer ago than RETENTION_DAYS"
})
const installationId = Schema.UUID.annotations({ description: "Pseudonym of the home" })

export const InstallationList = Schema.Struct({
  installations: Schema.Array(
    Schema.Struct({
      installation_id: Schema.String,
      last_submission: Schema.NullOr(Schema.Number).annotations({ description: "Unix seconds" }),
      records: counted,
      samples: counted
    })
  ),
  total: Schema.Int
}).annotations({ identifier: "InstallationList" })
export type InstallationList = typeof InstallationList.Type

export const ExportFormat = Schema.Literal("jsonl", "csv")
export type ExportFormat = typeof ExportFormat.Type

/** What is read of the body; ids are not in URLs, because proxies log those. */
export const ExportRequest = Schema.Struct({
  installation_id: InstallationId,
  format: Schema.optionalWith(ExportFormat, { default: () => "jsonl" as const })
})
export const EraseRequest = Schema.Struct({
  installation_id: InstallationId,
  dry_run: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  delete_damaged: Schema.optionalWith(Schema.Boolean, { default: () => false })
})

/** What an operator can give to the person: no content, and enough to say what was done. */
export const ErasureReceipt = Schema.Struct({
  installation_id: Schema.String,
  is_dry_run: Schema.Boolean.annotations({ description: "Nothing was erased: this is what would be" }),
  records: counted,
  samples: counted,
  blocks: Schema.NullOr(Schema.Int).annotations({ description: "Erased; null when nothing was" }),
  at: Schema.Number.annotations({ description: "Unix seconds" }),
  damaged_files: Schema.Array(Schema.String).annotations({
    description: "Files set aside by repairs, which may still hold data of any home; delete_damaged deletes them"
  }),
  deleted_files: Schema.Array(Schema.String),
  affected_models: Schema.Array(
    Schema.Struct({ name: Schema.String, version: Schema.NullOr(Schema.String), is_current: Schema.Boolean })
  ).annotations({ description: "Trained with that home, and still there; without a version: not published" }),
  models_of_unknown_homes: Schema.Int.annotations({ description: "Models of which nobody knows whose data they had" })
}).annotations({ identifier: "ErasureReceipt" })
export type ErasureReceipt = typeof ErasureReceipt.Type

const bearer = { security: [{ bearer: [] }] }
const adminOnly = "Needs the admin token, as the status does."

const ExportPayload = Schema.Struct({
  installation_id: installationId,
  format: Schema.optional(ExportFormat.annotations({ description: "JSON lines when absent" }))
}).annotations({ identifier: "ExportRequest" })
const ErasePayload = Schema.Struct({
  installation_id: installationId,
  dry_run: Schema.optional(Schema.Boolean.annotations({ description: "Only say what would be erased" })),
  delete_damaged: Schema.optional(
    Schema.Boolean.annotations({ description: "Also delete what repairs have set aside, whosever data it holds" })
  )
}).annotations({ identifier: "EraseRequest" })

const bodyProblems = [
  problem(400, "Not JSON"),
  problem(401, "No bearer token"),
  problem(403, "The token is not valid"),
  problem(411, "No body"),
  problem(413, "Too large"),
  problem(415, "Content-Type or Content-Encoding is not supported"),
  problem(422, "The body does not say what to do"),
  problem(429, "Too many requests; see Retry-After"),
  problem(503, "The store does not answer now; see Retry-After")
] as const
const BodyProblem = Schema.Union(...bodyProblems)

const text = { schema: { type: "string" } }

/** Effect describes one type per answer. */
const withExportTypes = (operation: Record<string, unknown>): Record<string, unknown> => ({
  ...operation,
  responses: {
    ...Object(operation.responses),
    "200": { description: "All records", content: { "application/x-ndjson": text, "text/csv": text } }
  }
})

/** What a person may ask of the operator (GDPR, Art. 15, 17 and 20). */
export class Rights extends HttpApiGroup.make("rights", { topLevel: true })
  .add(
    HttpApiEndpoint.get("installations", "/api/v1/installations")
      .addSuccess(InstallationList)
      .addError(Schema.Union(bodyProblems[1], bodyProblems[2], bodyProblems[7], bodyProblems[8]))
      .annotate(OpenApi.Override, bearer)
      .annotate(OpenApi.Summary, "Which homes there are")
      .annotate(OpenApi.Description, adminOnly)
  )
  .add(
    HttpApiEndpoint.post("export", "/api/v1/installations/export")
      .setPayload(ExportPayload)
      .addSuccess(Schema.String)
      .addError(BodyProblem)
      .annotate(OpenApi.Override, bearer)
      .annotate(OpenApi.Transform, withExportTypes)
      .annotate(OpenApi.Summary, "All data of one home")
      .annotate(OpenApi.Description, `One line per record and heat pump, or in CSV per sample. ${adminOnly}`)
  )
  .add(
    HttpApiEndpoint.post("erase", "/api/v1/installations/erase")
      .setPayload(ErasePayload)
      .addSuccess(ErasureReceipt)
      .addError(BodyProblem)
      .annotate(OpenApi.Override, bearer)
      .annotate(OpenApi.Summary, "Erase all data of one home")
      .annotate(
        OpenApi.Description,
        `Everywhere, for ever: what comes of it later is answered 410, and what a restored backup brings back is erased again. ${adminOnly}`
      )
  ) {}
