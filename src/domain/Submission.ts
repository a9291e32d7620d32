import { Schema } from "effect"
import { InstallationId } from "./InstallationId.js"
import { type ModelName, ModelNameFromWire } from "./ModelName.js"

/** The client's version on the wire; absent and null mean `unknown`. */
const ClientVersion = Schema.NullishOr(Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9._+-]{1,32}$/)))

/** The envelope around the records. Unknown keys are ignored; the records have their own loop (`pipeline/Decode`). */
export const Envelope = Schema.Struct({
  installation_id: InstallationId,
  heatpump_model: Schema.optional(ModelNameFromWire),
  version: Schema.optional(ClientVersion),
  data: Schema.declare((data: unknown): data is ReadonlyArray<unknown> => Array.isArray(data))
})
export type Envelope = typeof Envelope.Type

/** Where a reading comes from: the home as a whole, or one heat pump of it. Becomes the tags of its series. */
export interface Source {
  readonly model: ModelName
  /** Only in the nested shape, where a home names its heat pumps. */
  readonly heatpump?: { readonly id: string; readonly manufacturer: string }
}

/** The accepted samples of one source at one time: the bytes from `start` to before `end` of `fieldSets`. */
export interface Reading {
  readonly source: number
  readonly timestampMs: number
  /** At least one. */
  readonly samples: number
  readonly start: number
  readonly end: number
}

/** Those of the words below that reject a record. */
export const RecordVerdictCode = Schema.Literal(
  "not_an_object",
  "timestamp_missing",
  "timestamp_invalid",
  "timestamp_too_old",
  "timestamp_in_future",
  "no_numeric_fields"
)

/** Stable words of the 200 answer: the first ones reject a record, the others refuse a field. */
export const VerdictCode = Schema.Literal(
  ...RecordVerdictCode.literals,
  "field_name_invalid",
  "value_not_numeric",
  "value_out_of_range",
  "too_many_fields",
  "heatpump_invalid",
  "too_many_heatpumps"
)
export type VerdictCode = typeof VerdictCode.Type

export const Verdict = Schema.Struct({
  index: Schema.Int.annotations({ description: "Position of the record in `data`, from 0" }),
  code: VerdictCode,
  field: Schema.optional(Schema.String)
})
export type Verdict = typeof Verdict.Type

export interface Submission {
  readonly installationId: InstallationId
  readonly version: string
  readonly sources: ReadonlyArray<Source>
  readonly readings: ReadonlyArray<Reading>
  /**
   * What the readings hold, as line protocol's field sets (`name=1,other=2.5`): distinct names that need no escaping,
   * finite numbers in the shortest form that reads back as exactly themselves. Borrowed: valid as long as the
   * submission's use.
   */
  readonly fieldSets: Buffer
  /** `processed + rejected` = records sent. */
  readonly processed: number
  readonly rejected: number
  readonly fieldsDropped: number
  /** The first `maxVerdicts`; the counts are complete. */
  readonly verdicts: ReadonlyArray<Verdict>
  /** Records rejected and fields refused, by reason. */
  readonly verdictCounts: ReadonlyMap<VerdictCode, number>
}

export const maxVerdicts = 100
