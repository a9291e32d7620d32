/** Puts the series of an export back together into records: one per source and time. */
import type { StoredRecord } from "./Store.js"
import type { ExportedSeries } from "./VictoriaMetrics.js"

/** Labels that are no tags: the name holds the field, the installation is what was asked for. */
const isTag = (label: string) => label !== "__name__" && label !== "installation_id"

interface Gathered {
  readonly timestampMs: number
  readonly tags: ReadonlyMap<string, string>
  readonly values: Map<string, number>
}

export class RecordGatherer {
  readonly #records = new Map<string, Gathered>()
  readonly #prefix: string

  /** `prefix` is what VictoriaMetrics puts before a field to name its series: the measurement and `_`. */
  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** Returns the number of samples added. */
  add({ metric, timestamps, values }: ExportedSeries): number {
    const field = (metric.__name__ ?? "").slice(this.#prefix.length)
    const tags = new Map(Object.entries(metric).filter(([label]) => isTag(label)))
    const source = sourceKey(tags)
    for (let i = 0; i < timestamps.length; i++) {
      const value = values[i]
      if (typeof value === "number") this.#of(timestamps[i]!, tags, source).values.set(field, value)
    }
    return timestamps.length
  }

  /** What the journal still holds is exact, and wins over what the database has already made of it. */
  overlay({ tags, timestampMs, values }: StoredRecord): void {
    const record = this.#of(timestampMs, tags, sourceKey(tags))
    for (const [field, value] of values) record.values.set(field, value)
  }

  /** In order of time. */
  records(): ReadonlyArray<StoredRecord> {
    return [...this.#records.values()].sort((a, b) => a.timestampMs - b.timestampMs)
  }

  #of(timestampMs: number, tags: ReadonlyMap<string, string>, source: string): Gathered {
    const key = `${timestampMs} ${source}`
    let record = this.#records.get(key)
    if (record === undefined) {
      record = { timestampMs, tags, values: new Map() }
      this.#records.set(key, record)
    }
    return record
  }
}

const sourceKey = (tags: ReadonlyMap<string, string>): string =>
  [...tags]
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join()
