import { group } from "./group.mjs"

const pipeline = [
  "Auth",
  "Body",
  "DrainRequest",
  "Encode",
  "Field",
  "FieldNames",
  "FieldSetWriter",
  "Json",
  "Mask",
  "Quotas",
  "Records",
  "Settling",
  "Structure",
  "TokenBuckets",
  "Verdicts",
  "Write"
]

export default group(
  "pipeline",
  pipeline.map((name) => `src/pipeline/${name}.ts`)
)
