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

const measure = (batch: string, body: Buffer) => {
  const ms = { floor: [] as Array<number>, plain: [] as Array<number>, short: [] as Array<number> }
  for (let round = 0; round < warmup + rounds; round++) {
    const floor = timed(() => JSON.parse(body.toString()))
    const byPlain = timed(() => encode(plain(body)))
    const byShort = timed(() => encode(short(body)))
    if (round < warmup) continue
    ms.floor.push(floor)
    ms.plain.push(byPlain)
    ms.short.push(byShort)
  }
  const ratio = (way: ReadonlyArray<number>) => show(spread(way.map((time, i) => time / ms.floor[i]!)))
  return {
    batch,
    "body kB": Math.round(body.length / 1000),
    samples: encode(short(body)),
    "JSON.parse ms": show(spread(ms.floor)),
    "plain way ms": show(spread(ms.plain)),
    "plain ratio": ratio(ms.plain),
    "short way ms": show(spread(ms.short)),
    "short ratio": ratio(ms.short)
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
