import { Effect } from "effect"
import type { Block } from "../../src/domain/Block.js"
import { submissionOf } from "../../src/pipeline/Decode.js"
import { Encode } from "../../src/pipeline/Encode.js"

const yearMs = 365 * 86_400_000

/** The blocks of a submission, made by the real stages; nothing of it may be refused. */
export const blocksOf = (body: unknown, nowMs: number): Promise<ReadonlyArray<Block>> =>
  Effect.gen(function* () {
    const submission = yield* submissionOf(body, nowMs, yearMs)
    if (submission.rejected + submission.fieldsDropped > 0) throw new Error(JSON.stringify(submission.verdicts[0]))
    const { blocks } = yield* (yield* Encode).blocks(submission)
    return blocks
  }).pipe(Effect.provide(Encode.layer), Effect.runPromise)

/** The only block of a submission of one source. */
export const blockOf = async (body: unknown, nowMs: number): Promise<Block> => {
  const [block, ...others] = await blocksOf(body, nowMs)
  if (block === undefined || others.length > 0) throw new Error(`expected one block, got ${others.length}`)
  return block
}
