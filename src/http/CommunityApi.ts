import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { problemWith } from "./Problem.js"

const BadRequest = problemWith(400, "A parameter is not valid")
const Unauthorized = problemWith(401, "No bearer token")
const Forbidden = problemWith(403, "The token is not valid")
const NotEligible = problemWith(403, "The token is not valid, or no data came from this installation lately")
const NoModel = problemWith(404, "No model is published yet")
const RangeUnsatisfiable = problemWith(416, "The range lies outside of the model")
const Missing = problemWith(422, "A parameter is missing")
const Unavailable = problemWith(503, "The store cannot be asked now; see Retry-After")

const Hash = Schema.NullOr(Schema.String).annotations({ description: "SHA-256 of the file; null without a model" })
const seconds = Schema.Number.annotations({ description: "Unix seconds" })

const poolFields = {
  total_installations: Schema.Int,
  total_data_points: Schema.Int.annotations({ description: "Records" }),
  models_available: Schema.Array(Schema.String),
  data_sufficient: Schema.Boolean,
  message: Schema.String,
  message_de: Schema.String
}
export const PoolStatus = Schema.Struct({ ...poolFields, timestamp: seconds }).annotations({ identifier: "PoolStatus" })
export type PoolStatus = typeof PoolStatus.Type

export const ModelCheck = Schema.Struct({
  eligible: Schema.Boolean.annotations({ description: "Data came in the last 30 days, and the pool is sufficient" }),
  reason: Schema.String,
  reason_de: Schema.String,
  model_hash: Hash,
  hash: Hash,
  version_hash: Hash,
  model_available: Schema.Boolean,
  update_available: Schema.Boolean,
  data_pool: Schema.Struct({ ...poolFields, timestamp: seconds })
}).annotations({ identifier: "ModelCheck" })
export type ModelCheck = typeof ModelCheck.Type

export const PublishedModels = Schema.Struct({
  models: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      filename: Schema.String,
      size_bytes: Schema.Int,
      hash: Schema.String.annotations({ description: "SHA-256 of the file" }),
      modified: seconds,
      version: Schema.NullOr(Schema.String),
      gate: Schema.NullOr(Schema.Literal("passed", "skipped")),
      signing_key_id: Schema.NullOr(Schema.String)
    })
  ),
  total: Schema.Int
}).annotations({ identifier: "PublishedModels" })
export type PublishedModels = typeof PublishedModels.Type

export const Averages = Schema.Struct({
  model: Schema.String,
  window: Schema.Literal("24h"),
  metrics: Schema.Record({
    key: Schema.String,
    value: Schema.Struct({
      avg: Schema.Number.annotations({
        description: "Mean over installations; of cop: heat of all over electricity of all"
      }),
      min: Schema.Number.annotations({ description: "5 % quantile over installations" }),
      max: Schema.Number.annotations({ description: "95 % quantile over installations" })
    })
  }),
  sample_size: Schema.Int.annotations({ description: "Installations; 0 where too few of them would be told" }),
  withheld: Schema.Array(Schema.String).annotations({ description: "Metrics of too few installations" })
}).annotations({ identifier: "Averages" })
export type Averages = typeof Averages.Type

const query = (name: string, description: string, required = false) => ({
  name,
  in: "query",
  required,
  description,
  schema: { type: "string" }
})
const installation = "Pseudonym of the home: a UUID"
const model = "Heat pump model; a space and an underscore mean the same"
const bearer = [{ bearer: [] }]

export class Community extends HttpApiGroup.make("community", { topLevel: true })
  .add(
    HttpApiEndpoint.get("poolStatus", "/api/v1/pool/status")
      .addSuccess(PoolStatus)
      .addError(Unavailable)
      .annotate(OpenApi.Summary, "How much data has been pooled")
  )
  .add(
    HttpApiEndpoint.get("checkModel", "/api/v1/model/check")
      .addSuccess(ModelCheck)
      .addError(BadRequest)
      .addError(Missing)
      .addError(Unavailable)
      .annotate(OpenApi.Override, {
        parameters: [
          query("installation_id", installation, true),
          query("model", `${model}; what the installation submitted last when absent`),
          query("current_hash", "SHA-256 of the file that is there already")
        ]
      })
      .annotate(OpenApi.Summary, "Whether an installation gets a model")
      .annotate(
        OpenApi.Description,
        "An eligible check lets the address that asked download that one model without naming its installation, for 15 minutes."
      )
  )
  .add(
    HttpApiEndpoint.get("downloadModel", "/api/v1/model/download")
      .addSuccess(HttpApiSchema.Uint8Array({ contentType: "application/octet-stream" }))
      .addError(BadRequest)
      .addError(Unauthorized)
      .addError(NotEligible)
      .addError(NoModel)
      .addError(RangeUnsatisfiable)
      .addError(Unavailable)
      .annotate(OpenApi.Override, {
        security: bearer,
        parameters: [
          query("installation_id", `${installation}; not needed after an eligible check`),
          query("model", model)
        ]
      })
      .annotate(OpenApi.Summary, "An encrypted model")
      .annotate(OpenApi.Description, "Understands If-None-Match (304), Range and If-Range (206).")
  )
  .add(
    HttpApiEndpoint.get("listModels", "/api/v1/models")
      .addSuccess(PublishedModels)
      .addError(Unauthorized)
      .addError(Forbidden)
      .addError(Unavailable)
      .annotate(OpenApi.Override, { security: bearer })
      .annotate(OpenApi.Summary, "What is published")
      .annotate(OpenApi.Description, "Needs the admin token, as the status does.")
  )
  .add(
    HttpApiEndpoint.get("communityAverages", "/api/v1/community/averages")
      .addSuccess(Averages)
      .addError(BadRequest)
      .addError(Unauthorized)
      .addError(Forbidden)
      .addError(Missing)
      .addError(Unavailable)
      .annotate(OpenApi.Override, {
        security: bearer,
        parameters: [
          query("model", model, true),
          query("metrics", "Sensor names, separated by commas, and cop; cop,temp_outside when absent")
        ]
      })
      .annotate(OpenApi.Summary, "Averages over the installations with one heat pump model")
  ) {}
