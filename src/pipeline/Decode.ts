import { Array as Arr, Clock, Context, Data, Duration, Effect, Layer, type ParseResult, Schema } from "effect"
import { canonicalModel } from "../domain/ModelName.js"
import { Envelope, type Submission } from "../domain/Submission.js"
import { type BodyError, type BodySource, BodyTooLarge, checkHead, readBody, type WholeBody } from "./Body.js"
import { type ByteBuffer, makeBufferPool } from "./ByteBuffer.js"
import { FieldNames } from "./FieldNames.js"
import { type BodyTooSlow, InFlight, type Overloaded } from "./InFlight.js"
import { type NotJson, parseJson } from "./Json.js"
import { decodeRecords } from "./Records.js"
import { bracketsIn, hasGiantObject, isTooDense } from "./Structure.js"
import { transcode } from "./Transcode.js"

/** JSON, but not a submission. `detail` names keys and expectations, never values. */
export class EnvelopeMismatch extends Data.TaggedError("EnvelopeMismatch")<{ readonly detail: string }> {}

export type DecodeError = BodyError | NotJson | EnvelopeMismatch | Overloaded | BodyTooSlow

interface DecodeLimits {
  /** Bound of one body, on the wire and again after decompression. */
  readonly maxBodyBytes: number
  /** How old a sample may be. */
  readonly retention: Duration.Duration
  /** How many field names that the sensor registry does not have an installation may use. */
  readonly unknownFields: number
}

const expectations: Readonly<Record<string, string>> = {
  installation_id: "must be a UUID, not the nil UUID",
  heatpump_model: "must be null, empty or up to 128 letters, digits, spaces and _ - . ( )",
  version: "must be null or up to 32 letters, digits and . _ + -",
  data: "must be an array of records"
}

/** The top-level keys that an issue is about; "" is the document. Formatters would print the values, however deep. */
const keysOf = (issue: ParseResult.ParseIssue): ReadonlyArray<string> => {
  switch (issue._tag) {
    case "Pointer":
      return [String(Arr.ensure(issue.path)[0])]
    case "Composite":
      return Arr.ensure(issue.issues).flatMap(keysOf)
    case "Refinement":
    case "Transformation":
      return keysOf(issue.issue)
    default:
      return [""]
  }
}

const mismatchOf = (error: ParseResult.ParseError): EnvelopeMismatch => {
  const sentences = Array.from(new Set(keysOf(error.issue)), (key) =>
    key in expectations ? `${key} ${expectations[key]}` : "the body must be a JSON object"
  )
  return new EnvelopeMismatch({ detail: `The submission is not valid: ${sentences.join("; ")}` })
}

const tooDense = new BodyTooLarge({
  detail: "The body holds more objects and arrays than records could need; please send fewer records at once"
})
const giantObject = new BodyTooLarge({ detail: "The body holds an object with more fields than a record could have" })

const decodeEnvelope = Schema.decodeUnknown(Envelope, { errors: "all" })

/**
 * A parsed body → submission: the envelope by Schema, the records by their loop.
 *
 * @param fieldSets is cleared, and lent to the submission
 */
export const submissionOf = Effect.fn("Decode.submissionOf")(function* (
  json: unknown,
  nowMs: number,
  retentionMs: number,
  fieldSets: ByteBuffer,
  names?: FieldNames
) {
  const envelope = yield* Effect.mapError(decodeEnvelope(json), mismatchOf)
  const model = canonicalModel(envelope.heatpump_model ?? "")
  fieldSets.clear()
  const submission: Submission = {
    installationId: envelope.installation_id,
    version: envelope.version ?? "unknown",
    ...decodeRecords(envelope.data, model, nowMs, retentionMs, fieldSets, names?.allowanceOf(envelope.installation_id))
  }
  return submission
})

/** A body → submission: the short way when it has the usual shape, else the plain one. Both come to the same. */
export const decodeBody = Effect.fn("Decode.decodeBody")(function* (
  body: Buffer,
  nowMs: number,
  retentionMs: number,
  fieldSets: ByteBuffer,
  names?: FieldNames
) {
  if (isTooDense(body)) return yield* tooDense
  const submission = transcode(body, nowMs, retentionMs, fieldSets, names)
  if (submission !== undefined) return submission
  if (hasGiantObject(body)) return yield* giantObject
  return yield* submissionOf(yield* parseJson(body), nowMs, retentionMs, fieldSets, names)
})

/** A `Reading` and its place in the array. */
const readingBytes = 88

/** What a body takes while it is decoded and encoded, in proportion: itself, and its readings. */
const weightOf = ({ pieces }: WholeBody): number =>
  pieces.reduce((sum, piece) => sum + piece.length + readingBytes * bracketsIn(piece), 0)

/** Second stage: the bytes of a request → a submission whose every sample is fit to be stored. */
export class Decode extends Context.Tag("telemetry/pipeline/Decode")<
  Decode,
  {
    /** Its field sets are lent to `use`: only the counts and verdicts may be looked at later. */
    readonly withSubmission: <A, E, R>(
      request: BodySource,
      use: (submission: Submission) => Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | DecodeError, R>
  }
>() {
  static readonly layer = (limits: DecodeLimits) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const withBuffer = makeBufferPool()
        const names = new FieldNames(limits.unknownFields)
        const retentionMs = Duration.toMillis(limits.retention)
        const inFlight = yield* InFlight

        const withSubmission = <A, E, R>(
          request: BodySource,
          use: (submission: Submission) => Effect.Effect<A, E, R>
        ) => {
          const decodeAndUse = (body: WholeBody) =>
            withBuffer((fieldSets) =>
              withBuffer((buffer) =>
                Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
                  decodeBody(body.moveTo(buffer), nowMs, retentionMs, fieldSets, names)
                )
              ).pipe(Effect.flatMap(use))
            )
          return Effect.gen(function* () {
            yield* checkHead(request, limits.maxBodyBytes)
            return yield* inFlight.hold(request, (room) =>
              Effect.flatMap(readBody(request, limits.maxBodyBytes, room), (body) =>
                inFlight.inTurn(weightOf(body), decodeAndUse(body))
              )
            )
          }).pipe(Effect.withSpan("Decode.withSubmission"))
        }
        return { withSubmission }
      })
    )
}
