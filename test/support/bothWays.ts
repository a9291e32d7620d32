/** The short way and the plain way of decoding, side by side. */
import { assert } from "@effect/vitest"
import { Effect, Either } from "effect"
import * as fc from "fast-check"
import type { Submission } from "../../src/domain/Submission.js"
import { ByteBuffer } from "../../src/pipeline/ByteBuffer.js"
import { decodeBody, submissionOf } from "../../src/pipeline/Decode.js"
import { writeLines } from "../../src/pipeline/Encode.js"
import type { FieldNames } from "../../src/pipeline/FieldNames.js"
import { parseJson } from "../../src/pipeline/Json.js"
import { transcode } from "../../src/pipeline/Transcode.js"
import { anyBody, bodiesNowMs, changed, changes, orderlyBody } from "./bodies.js"
import { sentBody } from "./payloads.js"

const yearMs = 365 * 86_400_000
const fieldSets = new ByteBuffer()
const lines = new ByteBuffer()

/** Everything that the program may ever see of a submission, as plain data. */
const observed = (submission: Submission) => ({
  ...submission,
  fieldSets: submission.fieldSets.toString("latin1"),
  verdictCounts: [...submission.verdictCounts],
  blocks: submission.sources.map((_, i) => [writeLines(lines, submission, i), lines.written().toString("latin1")])
})

const outcome = <E>(submission: Effect.Effect<Submission, E>) =>
  Either.merge(Effect.runSync(Effect.either(Effect.map(submission, observed))))

/** What the plain way makes of a body: a submission as observed, or an error. */
export const plainly = (body: Buffer, nowMs: number, names?: FieldNames) =>
  outcome(Effect.flatMap(parseJson(body), (json) => submissionOf(json, nowMs, yearMs, fieldSets, names)))

/** What the program makes of it. */
export const decoded = (body: Buffer, nowMs: number, names?: FieldNames) =>
  outcome(decodeBody(body, nowMs, yearMs, fieldSets, names))

/** The short way either comes to what the plain one comes to, or leaves it to that; whether it took it. */
export const takesShortWay = (body: Buffer, nowMs = bodiesNowMs): boolean => {
  const submission = transcode(body, nowMs, yearMs, fieldSets)
  if (submission === undefined) return false
  const short = observed(submission)
  assert.deepStrictEqual(short, plainly(body, nowMs), body.toString("latin1"))
  return true
}

const orDamaged = (body: fc.Arbitrary<Buffer>) =>
  fc.tuple(body, changes).map(([body, changes]) => changed(body, changes))

/** By kind of body: arbitrary bodies, and the share of them that the short way must take for the comparison to mean something. */
export const kindsOfBodies = {
  orderly: { body: orderlyBody, taken: 0.25, nowMs: bodiesNowMs },
  any: { body: anyBody, taken: 0.01, nowMs: bodiesNowMs },
  damaged: { body: orDamaged(orderlyBody), taken: 0.05, nowMs: bodiesNowMs },
  real: {
    body: orDamaged(
      fc.constantFrom(...(["flat3", "nested3"] as const).map((name) => Buffer.from(sentBody(name).body)))
    ),
    taken: 0.05,
    nowMs: Date.now()
  }
}

/** Compares both ways on so many bodies of a kind; gives the share that the short one took. */
export const shareTaken = (kind: keyof typeof kindsOfBodies, numRuns: number): number => {
  const { body, nowMs } = kindsOfBodies[kind]
  let tried = 0
  let taken = 0
  fc.assert(
    fc.property(body, (body) => {
      tried++
      if (takesShortWay(body, nowMs)) taken++
    }),
    { numRuns }
  )
  return taken / tried
}
