/** The short way and the plain way of decoding, side by side. */
import { Effect, Either } from "effect"
import type { Submission } from "../../src/domain/Submission.js"
import { ByteBuffer } from "../../src/pipeline/ByteBuffer.js"
import { decodeBody, submissionOf } from "../../src/pipeline/Decode.js"
import { writeLines } from "../../src/pipeline/Encode.js"
import type { FieldNames } from "../../src/pipeline/FieldNames.js"
import { parseJson } from "../../src/pipeline/Json.js"
import { transcode } from "../../src/pipeline/Transcode.js"

const yearMs = 365 * 86_400_000
const lines = new ByteBuffer()
const sets = new ByteBuffer()

/** Everything that the program may ever see of a submission, as plain data. */
const observed = (submission: Submission) => ({
  ...submission,
  fieldSets: submission.fieldSets.toString("latin1"),
  verdictCounts: [...submission.verdictCounts],
  lines: submission.sources.map((_, i) => {
    const block = writeLines(lines, submission, i)
    return [block, lines.written().toString("latin1")]
  })
})

/** What the plain way makes of a body: what is observed, or the error. */
export const plainly = (body: Buffer, nowMs: number, names?: FieldNames) =>
  Effect.runSync(
    Effect.flatMap(parseJson(body), (json) => submissionOf(json, nowMs, yearMs, sets, names)).pipe(
      Effect.map(observed),
      Effect.either
    )
  ).pipe(Either.merge)

/** What the short way makes of it; undefined when it leaves it to the plain one. */
export const shortly = (body: Buffer, nowMs: number, names?: FieldNames) => {
  const submission = transcode(body, nowMs, yearMs, sets, names)
  return submission === undefined ? undefined : observed(submission)
}

/** What the program makes of it. */
export const decoded = (body: Buffer, nowMs: number, names?: FieldNames) =>
  Effect.runSync(decodeBody(body, nowMs, yearMs, sets, names).pipe(Effect.map(observed), Effect.either)).pipe(
    Either.merge
  )
