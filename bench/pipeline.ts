/** What does a batch cost from bytes to line protocol, against the floor of parsing its JSON at all? */
import { Effect } from "effect"
import { ByteBuffer } from "../src/pipeline/ByteBuffer.js"
import { submissionOf } from "../src/pipeline/Decode.js"
import { writeLines } from "../src/pipeline/Encode.js"
import { parseJson } from "../src/pipeline/Json.js"
import { type Result, recordedBatch, show, spread, standardBatch } from "./support.js"

const rounds = 80
const warmup = 20
const retentionMs = 365 * 86_400_000

const measure = (name: string, body: Buffer) => {
  const buffer = new ByteBuffer()
  const floor: Array<number> = []
  const ours: Array<number> = []
  const ratio: Array<number> = []
  let samples = 0
  for (let round = 0; round < rounds + warmup; round++) {
    const t0 = performance.now()
    JSON.parse(body.toString())
    const t1 = performance.now()
    const submission = Effect.runSync(
      Effect.flatMap(parseJson(body), (json) => submissionOf(json, Date.now(), retentionMs))
    )
    samples = submission.sources.reduce((sum, _, i) => sum + (writeLines(buffer, submission, i)?.samples ?? 0), 0)
    const t2 = performance.now()
    if (round < warmup) continue
    floor.push(t1 - t0)
    ours.push(t2 - t1)
    ratio.push((t2 - t1) / (t1 - t0))
  }
  return {
    batch: name,
    "body kB": Math.round(body.length / 1000),
    samples,
    "JSON.parse ms": show(spread(floor)),
    "decode + validate + encode ms": show(spread(ours)),
    ratio: show(spread(ratio))
  }
}

export const run = async (): Promise<Result> => ({
  question: "From bytes to line protocol, against JSON.parse(buffer.toString())",
  target: "ratio of the standard batch ≤ 2.5",
  rows: [
    measure("standard, 500 × 60", standardBatch()),
    measure("real, flat, 500 × 137", recordedBatch("flat_v1_500.json.gz")),
    measure("real, nested, 500 × 137", recordedBatch("nested_v2_500.json.gz"))
  ]
})
