import { group } from "./group.mjs"

/** The short way; with a mutant that makes it give up, the plain way comes to the same, and only what it costs tells. */
const decoder = ["JsonCursor", "LayoutReader", "RecordTranscoder", "SlotReader", "Transcode"]

export default group(
  "decoder",
  decoder.map((name) => `src/pipeline/${name}.ts`)
)
