import { group } from "./group.mjs"

const pipeline = [
  "Auth",
  "DrainRequest",
  "Encode",
  "Field",
  "FieldNames",
  "FieldSetWriter",
  "Json",
  "JsonCursor",
  "LayoutReader",
  "Mask",
  "Quotas",
  "Records",
  "RecordTranscoder",
  "Settling",
  "SlotReader",
  "Structure",
  "TokenBuckets",
  "Transcode",
  "Verdicts",
  "Write"
]

export default group(
  "pipeline",
  pipeline.map((name) => `src/pipeline/${name}.ts`)
)
