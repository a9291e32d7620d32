import { gunzipSync } from "node:zlib"
import { Effect } from "effect"
import { ByteBuffer } from "../../src/pipeline/ByteBuffer.js"
import { decodeBody } from "../../src/pipeline/Decode.js"
import { Encode } from "../../src/pipeline/Encode.js"
import { parseLines } from "./lineProtocol.js"

/** When bodies arrive. */
export const nowMs = Date.parse("2026-11-24T12:00:00Z")
const yearMs = 365 * 86_400_000

/** A body through the stages, as bytes, and back through an independent parser. */
export const throughPipeline = (body: string, atMs = nowMs) =>
  Effect.gen(function* () {
    const submission = yield* decodeBody(Buffer.from(body), atMs, yearMs, new ByteBuffer())
    const encoded = yield* (yield* Encode).blocks(submission)
    const texts = encoded.blocks.map(({ gzippedLines }) => gunzipSync(gzippedLines).toString("latin1"))
    return { submission, ...encoded, texts, points: texts.flatMap(parseLines) }
  }).pipe(Effect.provide(Encode.layer), Effect.runPromise)
