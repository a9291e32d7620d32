/**
 * JSON from bytes, as Python writes it.
 *
 * Python's `json.dumps` writes the words NaN, Infinity and -Infinity, which JSON does not know, and one of them would
 * cost a whole day of records. They are read as infinite numbers, which the records loop refuses field by field.
 * Bytes that are not UTF-8 become U+FFFD and so spoil only the string they stand in.
 */
import { Data, Either } from "effect"

export class NotJson extends Data.TaggedError("NotJson")<{ readonly detail: string }> {}

const quote = 0x22
const backslash = 0x5c
const infinite = Buffer.from("1e999")
const words = [Buffer.from("NaN"), Buffer.from("Infinity")]

/** A copy with every NaN and Infinity outside a string replaced by 1e999, or undefined when there is none. */
const withoutPythonWords = (body: Buffer): Buffer | undefined => {
  const parts: Array<Buffer> = []
  let copiedTo = 0
  let inString = false
  for (let i = 0; i < body.length; i++) {
    const byte = body[i]!
    if (byte === quote) inString = !inString
    else if (inString) {
      if (byte === backslash) i++
    } else {
      const word = words.find((w) => w[0] === byte && body.subarray(i, i + w.length).equals(w))
      if (word === undefined) continue
      parts.push(body.subarray(copiedTo, i), infinite)
      i += word.length - 1
      copiedTo = i + 1
    }
  }
  return parts.length === 0 ? undefined : Buffer.concat([...parts, body.subarray(copiedTo)])
}

/** The position alone: V8's message goes on to quote the text, which may be anybody's data. */
const positionIn = (error: unknown): string => {
  const position = error instanceof Error ? /at position (\d+)(?: \(line \d+ column \d+\))?$/.exec(error.message) : null
  return position === null ? "" : ` (at character ${position[1]})`
}

const parse = (body: Buffer): Either.Either<unknown, NotJson> =>
  Either.try({
    try: (): unknown => JSON.parse(body.toString()),
    catch: (error) => new NotJson({ detail: `The body is not JSON${positionIn(error)}` })
  })

/** The value of a JSON document; its error names a position, never the text there. */
export const parseJson = (body: Buffer): Either.Either<unknown, NotJson> =>
  Either.orElse(parse(body), (notJson) => {
    const repaired = withoutPythonWords(body)
    return repaired === undefined ? Either.left(notJson) : parse(repaired)
  })
