import { group } from "./group.mjs"

const pipeline = [
  "Auth",
  "Body",
  "Drain",
  "Encode",
  "FieldNames",
  "Json",
  "LineWriter",
  "Mask",
  "Quotas",
  "Records",
  "Structure",
  "TokenBuckets",
  "Write"
]

export default group(
  "pipeline",
  pipeline.map((name) => `src/pipeline/${name}.ts`)
)
