import { Either, Option, Schema } from "effect"
import { canonicalModel, type ModelName } from "../domain/ModelName.js"
import { Envelope, type Source, type Submission } from "../domain/Submission.js"
import type { ByteBuffer } from "./ByteBuffer.js"
import type { FieldNames } from "./FieldNames.js"
import { parseJson } from "./Json.js"
import { closeBrace, comma, endOfString, JsonCursor, openBrace, quote } from "./JsonCursor.js"
import { heatpumpOf } from "./Records.js"
import { RecordTranscoder } from "./RecordTranscoder.js"

const emptyArray = Buffer.from("[]")
const decodeEnvelope = Schema.decodeUnknownOption(Envelope)

/** By byte: what cannot be in a scalar that is no string. JSON.parse sees to the rest. */
const endsScalar = Uint8Array.from({ length: 256 }, (_, byte) => Number(/[\s,:"[\]{}]/.test(String.fromCharCode(byte))))

const endOfScalar = (bytes: Buffer, start: number): number => {
  if (bytes[start] === quote) return endOfString(bytes, start)
  let at = start
  while (at < bytes.length && endsScalar[bytes[at]!] === 0) at++
  return at === start ? -1 : at
}

/** Has the transcoder read the records, and decodes what stands around them; nothing when either is unusual. */
const envelopeOf = (body: Buffer, transcoder: RecordTranscoder): Option.Option<Envelope> => {
  const cursor = new JsonCursor(body)
  const names = new Set<string>()
  let dataStart = 0
  let dataEnd = 0
  if (!cursor.take(openBrace)) return Option.none()
  do {
    const name = cursor.name(names)
    if (name === undefined) return Option.none()
    const start = cursor.at
    cursor.at = name === "data" ? transcoder.readArray(start) : endOfScalar(body, start)
    if (cursor.at < 0) return Option.none()
    if (name === "data") [dataStart, dataEnd] = [start, cursor.at]
  } while (cursor.take(comma))
  if (dataEnd === 0 || !cursor.take(closeBrace)) return Option.none()
  const envelope = Buffer.concat([body.subarray(0, dataStart), emptyArray, body.subarray(dataEnd)])
  return Option.flatMap(Either.getRight(parseJson(envelope)), decodeEnvelope)
}

const sourceOf = (key: string, model: ModelName): Source => {
  if (key === "") return { model }
  const [id, manufacturer, ownModel] = key.split("\n")
  return heatpumpOf(id!, manufacturer!, ownModel!, model)
}

/**
 * The short way from a body to its submission: exactly that of `parseJson` and `submissionOf`, or undefined for a body that
 * is unusual in any way. Only a home that has used its unknown field names before gets it, so that nothing has to be undone.
 *
 * @param fieldSets is cleared, and lent to the submission
 */
export const transcode = (
  body: Buffer,
  nowMs: number,
  retentionMs: number,
  fieldSets: ByteBuffer,
  names?: FieldNames
): Submission | undefined => {
  fieldSets.clear()
  const transcoder = new RecordTranscoder(body, fieldSets, nowMs, retentionMs)
  const envelope = Option.getOrUndefined(envelopeOf(body, transcoder))
  if (envelope === undefined) return undefined
  const { installation_id: installationId, version } = envelope
  if (names !== undefined) {
    for (const name of transcoder.unknownNames) if (!names.hasUsed(installationId, name)) return undefined
    names.allowanceOf(installationId)
  }
  const model = canonicalModel(envelope.heatpump_model ?? "")
  const { verdicts } = transcoder
  return {
    installationId,
    version: version ?? "unknown",
    sources: transcoder.sources.map((key) => sourceOf(key, model)),
    readings: transcoder.readings,
    fieldSets: fieldSets.written(),
    processed: transcoder.records,
    rejected: 0,
    fieldsDropped: verdicts.counts.get("value_out_of_range") ?? 0,
    verdicts: verdicts.first,
    verdictCounts: verdicts.counts
  }
}
