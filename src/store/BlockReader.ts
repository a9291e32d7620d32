/**
 * Reads line protocol back. It understands exactly what `pipeline/Encode` writes, which is a subset without
 * escapes: `measurement,tag=value,… field=number,… milliseconds\n`.
 */
import type { StoredRecord } from "./Store.js"

const pairs = (text: string): ReadonlyArray<readonly [string, string]> =>
  text.split(",").map((pair) => {
    const equals = pair.indexOf("=")
    return [pair.slice(0, equals), pair.slice(equals + 1)]
  })

/** The tags that tell the sources of one installation apart. */
const tagsOf = (series: string): ReadonlyMap<string, string> => {
  const tags = new Map(pairs(series).slice(1))
  tags.delete("installation_id")
  return tags
}

/** The records of one block, in the order of its lines. */
export const readLines = (lines: Buffer): ReadonlyArray<StoredRecord> => {
  const records: Array<StoredRecord> = []
  let series = ""
  let tags: StoredRecord["tags"] = new Map()
  for (const line of lines.toString("latin1").split("\n")) {
    if (line === "") continue
    const [lineSeries = "", fields = "", timestamp = ""] = line.split(" ")
    if (lineSeries !== series) {
      series = lineSeries
      tags = tagsOf(series)
    }
    const values = new Map(pairs(fields).map(([name, number]) => [name, Number(number)]))
    records.push({ timestampMs: Number(timestamp), tags, values })
  }
  return records
}
