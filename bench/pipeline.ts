/** What does a batch cost from bytes to line protocol, against the floor of parsing its JSON at all? */
import { Effect } from "effect"
import type { Submission } from "../src/domain/Submission.js"
import { ByteBuffer } from "../src/pipeline/ByteBuffer.js"
import { submissionOf } from "../src/pipeline/Decode.js"
import { writeLines } from "../src/pipeline/Encode.js"
import { parseJson } from "../src/pipeline/Json.js"
import { transcode } from "../src/pipeline/Transcode.js"
import { type Result, recordedBatch, show, spread, standardBatch } from "./support.js"

const rounds = 80
const warmup = 40
const retentionMs = 365 * 86_400_000

const fieldSets = new ByteBuffer()
const lines = new ByteBuffer()

type Way = (body: Buffer) => Submission

const plain: Way = (body) =>
  Effect.runSync(Effect.flatMap(parseJson(body), (json) => submissionOf(json, Date.now(), retentionMs, fieldSets)))

const short: Way = (body) => {
  const submission = transcode(body, Date.now(), retentionMs, fieldSets)
  if (submission === undefined) throw new Error("the short way was not taken")
  return submission
}

const encode = (submission: Submission): number =>
  submission.sources.reduce((sum, _, i) => sum + (writeLines(lines, submission, i)?.samples ?? 0), 0)

const timed = (work: () => unknown): number => {
  const start = performance.now()
  work()
  return performance.now() - start
}

/** In turn with the floor, and apart from the other way: its garbage would be collected in this one's time. */
const inTurn = (body: Buffer, way: Way) => {
  const floorMs: Array<number> = []
  const wayMs: Array<number> = []
  for (let round = 0; round < warmup + rounds; round++) {
    const floor = timed(() => JSON.parse(body.toString()))
    const ours = timed(() => encode(way(body)))
    if (round < warmup) continue
    floorMs.push(floor)
    wayMs.push(ours)
  }
  return { floorMs, wayMs, ratio: show(spread(wayMs.map((ms, i) => ms / floorMs[i]!))) }
}

const measure = (batch: string, body: Buffer) => {
  const byPlain = inTurn(body, plain)
  const byShort = inTurn(body, short)
  return {
    batch,
    "body kB": Math.round(body.length / 1000),
    samples: encode(short(body)),
    "JSON.parse ms": show(spread([...byPlain.floorMs, ...byShort.floorMs])),
    "plain way ms": show(spread(byPlain.wayMs)),
    "plain ratio": byPlain.ratio,
    "short way ms": show(spread(byShort.wayMs)),
    "short ratio": byShort.ratio
  }
}

export const run = async (): Promise<Result> => ({
  question: "From bytes to line protocol (decode, validate, encode), against JSON.parse(buffer.toString())",
  target: "ratio of the plain way ≤ 2.5, of the short way ≤ 0.6",
  rows: [
    measure("standard, 500 × 60", standardBatch()),
    measure("real, flat, 500 × 137", recordedBatch("flat_v1_500.json.gz")),
    measure("real, nested, 500 × 137", recordedBatch("nested_v2_500.json.gz"))
  ]
})
