/**
 * A strict reader of Influx line protocol, written from its reference with escapes and all, and independent of the
 * product: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/. Throws on anything malformed.
 */
export interface Point {
  readonly measurement: string
  readonly tags: Readonly<Record<string, string>>
  readonly fields: ReadonlyMap<string, number>
  readonly timestamp: number
}

const fail = (what: string, line: string): never => {
  throw new Error(`${what} in line: ${line}`)
}

/** Splits at unescaped separators; a backslash makes the next character plain. */
const split = (text: string, separator: string): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let part = ""
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\") part += `\\${text[++i] ?? ""}`
    else if (text[i] === separator) {
      parts.push(part)
      part = ""
    } else part += text[i]
  }
  return [...parts, part]
}
const withoutEscapes = (text: string) => text.replace(/\\(.)/g, "$1")

const pair = (text: string, line: string): readonly [string, string] => {
  const [key, value, ...rest] = split(text, "=")
  if (!key || !value || rest.length > 0) return fail(`not a key=value pair: ${text}`, line)
  return [withoutEscapes(key), value]
}

const number = (text: string, line: string): number =>
  /^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(text) ? Number(text) : fail(`not a float: ${text}`, line)

const parseLine = (line: string): Point => {
  const sections = split(line, " ")
  if (sections.length !== 3) return fail(`${sections.length} sections`, line)
  const [series, fieldSet, timestamp] = sections
  const [measurement, ...tagSet] = split(series!, ",")
  if (!measurement) return fail("no measurement", line)
  const tags = tagSet.map((tag) => pair(tag, line)).map(([key, value]) => [key, withoutEscapes(value)] as const)
  const fields = split(fieldSet!, ",")
    .map((field) => pair(field, line))
    .map(([key, value]) => [key, number(value, line)] as const)
  const result: Point = {
    measurement: withoutEscapes(measurement),
    tags: Object.fromEntries(tags),
    fields: new Map(fields),
    timestamp: /^\d{13}$/.test(timestamp!) ? Number(timestamp) : fail("not a timestamp in ms", line)
  }
  if (Object.keys(result.tags).length !== tags.length) return fail("a tag twice", line)
  if (result.fields.size !== fields.length) return fail("a field twice", line)
  return result
}

export const parseLines = (text: string): ReadonlyArray<Point> => {
  if (!text.endsWith("\n")) throw new Error("the last line is not ended")
  return text.slice(0, -1).split("\n").map(parseLine)
}
