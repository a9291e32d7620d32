import { Effect } from "effect"
import type { Block } from "../../src/domain/Block.js"
import { ByteBuffer } from "../../src/pipeline/ByteBuffer.js"
import { submissionOf } from "../../src/pipeline/Decode.js"
import { Encode } from "../../src/pipeline/Encode.js"
import { type PayloadName, recentPayload } from "./payloads.js"

const yearMs = 365 * 86_400_000

const encode = (body: unknown, nowMs: number) =>
  Effect.gen(function* () {
    const submission = yield* submissionOf(body, nowMs, yearMs, new ByteBuffer())
    const { blocks } = yield* (yield* Encode).blocks(submission)
    return { submission, blocks }
  }).pipe(Effect.provide(Encode.layer), Effect.runPromise)

/** The blocks of a submission, made by the real stages; nothing of it may be refused. */
export const blocksOf = async (body: unknown, nowMs: number): Promise<ReadonlyArray<Block>> => {
  const { blocks, submission } = await encode(body, nowMs)
  if (submission.rejected + submission.fieldsDropped > 0) throw new Error(JSON.stringify(submission.verdicts[0]))
  return blocks
}

/** The blocks of a real client's body, which holds a few impossible values. */
export const recordedBlocks = async (name: PayloadName, nowMs: number): Promise<ReadonlyArray<Block>> =>
  (await encode(recentPayload(name, nowMs), nowMs)).blocks

/** The only block of a submission of one source. */
export const blockOf = async (body: unknown, nowMs: number): Promise<Block> => {
  const [block, ...others] = await blocksOf(body, nowMs)
  if (block === undefined || others.length > 0) throw new Error(`expected one block, got ${others.length}`)
  return block
}

const sensors = 300

/** A block of `records` records that hardly compresses, some 3 kB each; the same arguments give the same block. */
export const noisyBlock = (installationId: string, seed: number, records: number, nowMs: number): Promise<Block> => {
  let state = seed * 1_000_003
  const noise = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 97
  }
  const data = Array.from({ length: records }, (_, i) => ({
    timestamp: Math.floor(nowMs / 1000) - 86_400 + i,
    seed,
    ...Object.fromEntries(Array.from({ length: sensors }, (_, i) => [`noise_${i}`, noise()]))
  }))
  return blockOf({ installation_id: installationId, heatpump_model: "AERO SLM", version: "1.0.1", data }, nowMs)
}
