/** `manifest.json`: what a published version is, beside the version itself. */
import { Schema } from "effect"

const Count = Schema.Int.pipe(Schema.nonNegative())
const Hash = Schema.String.pipe(Schema.pattern(/^[0-9a-f]{64}$/))

export const Manifest = Schema.Struct({
  format: Schema.Literal(1),
  /** What it is published as: the stem of its `.enc` file. */
  name: Schema.String,
  version: Schema.String,
  /** ISO 8601, UTC. */
  published: Schema.String,
  size_bytes: Count,
  /** Of the encrypted file, as clients download it. */
  sha256: Hash,
  /** Of the pickle inside: the same model encrypted again has the same. */
  model_sha256: Hash,
  signing_key_id: Schema.NullOr(Schema.String),
  gate: Schema.Literal("passed", "skipped"),
  /** `model_metadata.json` and `metrics.json` as they were when it was published. */
  metadata: Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
  metrics: Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
})
export type Manifest = typeof Manifest.Type
