/**
 * The loop over a submission's records: JSON values in, accepted readings and verdicts out.
 *
 * Runs once per sample, so it is plain code: no Effect, no Schema, no closure per sample. It relies on one property of
 * real submissions, and is merely slower without it: consecutive records of a source have the same keys in the same
 * order, so the field found at a position last time is tried first, before any look-up by name.
 *
 * Invariants of what leaves here: every reading has at least one sample; field names match `fieldNamePattern` and are
 * distinct; values are finite; timestamps lie in [now - retention, now + 1 day].
 */
import { canonicalModel, isModelName, type ModelName } from "../domain/ModelName.js"
import { fieldNamePattern } from "../domain/Sensor.js"
import type { Reading, Source, Submission, VerdictCode } from "../domain/Submission.js"
import type { ByteBuffer } from "./ByteBuffer.js"
import { type Field, isWithinBounds, knownFields, unknownField } from "./Field.js"
import { FieldSetWriter } from "./FieldSetWriter.js"
import { Verdicts } from "./Verdicts.js"

/**
 * More fields than a home with every heating circuit, zone and room has (about 700), and few enough that a line with
 * the longest names and numbers stays below 256 kB: VictoriaMetrics refuses longer ones (`-influx.maxLineSize`).
 */
export const maxFieldsPerReading = 1600
export const maxHeatpumps = 32
const dayMs = 86_400_000

type JsonObject = Readonly<Record<string, unknown>>
const isObject = (json: unknown): json is JsonObject =>
  typeof json === "object" && json !== null && !Array.isArray(json)

/** Heat pump ids and manufacturers become tags: nothing that would need escaping. */
export const tagPattern = /^[A-Za-z0-9_.:-]{1,64}$/

/**
 * Unix seconds as sent → milliseconds. The magnitude tells the unit: seconds reach 1e11 in the year 5138, and
 * milliseconds that small lie before 1973, so each value is plausible in one unit only.
 */
export const timestampMsOf = (sent: number): number => {
  if (sent < 1e11) return Math.round(sent * 1e3)
  if (sent < 1e14) return Math.round(sent)
  return Math.round(sent < 1e17 ? sent / 1e3 : sent / 1e6)
}

export const timestampVerdict = (sent: unknown, nowMs: number, retentionMs: number): number | VerdictCode => {
  if (sent === undefined || sent === null) return "timestamp_missing"
  if (typeof sent !== "number" || !Number.isFinite(sent) || sent <= 0) return "timestamp_invalid"
  const timestampMs = timestampMsOf(sent)
  if (timestampMs < nowMs - retentionMs) return "timestamp_too_old"
  return timestampMs > nowMs + dayMs ? "timestamp_in_future" : timestampMs
}

/** @param ownModel "" for the home's */
export const heatpumpOf = (id: string, manufacturer: string, ownModel: string, model: ModelName): Source => ({
  model: ownModel === "" ? model : canonicalModel(ownModel),
  heatpump: { id, manufacturer: manufacturer === "" ? "unknown" : manufacturer }
})

type RecordsResult = Omit<Submission, "installationId" | "version">

/**
 * Decodes `data`, an array of records in the flat or the nested shape, or both.
 *
 * @param fieldSets where the readings are written to
 * @param model the home's model, for samples that are not those of a heat pump with a model of its own
 * @param mayUse whether the home may use a field name that the sensor registry does not have
 */
export const decodeRecords = (
  data: ReadonlyArray<unknown>,
  model: ModelName,
  nowMs: number,
  retentionMs: number,
  fieldSets: ByteBuffer,
  mayUse: (name: string) => boolean = () => true
): RecordsResult => {
  const readings: Array<Reading> = []
  const verdicts = new Verdicts()
  const sources: Array<Source> = []
  const layouts: Array<Array<Field>> = []
  const writers: Array<FieldSetWriter> = []
  const sourceIndex = new Map<string, number>()
  const unknownFields = new Map<string, Field | VerdictCode>()
  let processed = 0
  let fieldsDropped = 0
  let index = 0

  const report = (code: VerdictCode) => verdicts.report(index, code)
  const dropField = (code: VerdictCode, name: string, count = 1) => {
    fieldsDropped += count
    verdicts.report(index, code, name, count)
  }

  const newField = (name: string): Field | VerdictCode => {
    if (!fieldNamePattern.test(name)) return "field_name_invalid"
    return mayUse(name) ? unknownField(name) : "too_many_fields"
  }
  const fieldOf = (name: string): Field | VerdictCode => {
    const found = knownFields.get(name) ?? unknownFields.get(name)
    if (found !== undefined) return found
    const field = newField(name)
    unknownFields.set(name, field)
    return field
  }

  const sourceOf = (key: string, make: () => Source): number => {
    const existing = sourceIndex.get(key)
    if (existing !== undefined) return existing
    sources.push(make())
    layouts.push([])
    writers.push(new FieldSetWriter(fieldSets))
    sourceIndex.set(key, sources.length - 1)
    return sources.length - 1
  }

  /** The numeric fields of `object` as one reading of `source`; false when there are none. */
  const readFields = (object: JsonObject, source: () => number, timestampMs: number, isRecord: boolean): boolean => {
    let layout: Array<Field> | undefined
    let isOwnLayout = false
    let sourceNumber = 0
    const values: Array<number> = []
    let position = 0
    for (const name in object) {
      if (isRecord && (name === "timestamp" || name === "heatpumps")) continue
      const json = object[name]
      let value: number
      if (typeof json === "number") value = json
      else if (typeof json === "boolean") value = json ? 1 : 0
      else if (typeof json === "string" || json === null) continue
      else if (isObject(json) && typeof json.value === "number") value = json.value
      else if (isObject(json) && typeof json.value === "boolean") value = json.value ? 1 : 0
      else if (isObject(json) && json.value === null) continue
      else {
        dropField("value_not_numeric", name)
        continue
      }
      if (layout === undefined) {
        sourceNumber = source()
        layout = layouts[sourceNumber]!
      }
      const expected = layout[position]
      const field = expected !== undefined && expected.name === name ? expected : fieldOf(name)
      if (typeof field === "string") {
        dropField(field, name)
        continue
      }
      if (!isWithinBounds(field, value)) {
        dropField("value_out_of_range", name)
        continue
      }
      if (position === maxFieldsPerReading) {
        dropField("too_many_fields", name)
        continue
      }
      if (field !== expected) {
        if (!isOwnLayout) layout = layout.slice(0, position)
        isOwnLayout = true
        layout.push(field)
      }
      // + 0 turns -0, which line protocol cannot tell from 0, into 0.
      values.push(value + 0)
      position++
    }
    if (layout === undefined || position === 0) return false
    if (layout.length !== position) layout = layout.slice(0, position)
    layouts[sourceNumber] = layout
    const start = fieldSets.length
    writers[sourceNumber]!.write(layout, values)
    readings.push({ source: sourceNumber, timestampMs, samples: position, start, end: fieldSets.length - 1 })
    return true
  }

  const readHeatpump = (entry: unknown, timestampMs: number): boolean => {
    const values = isObject(entry) && isObject(entry.values) ? entry.values : {}
    const refuse = (code: VerdictCode) => {
      dropField(code, "heatpumps", Math.max(1, Object.keys(values).length))
      return false
    }
    if (!isObject(entry) || !isObject(entry.values)) return refuse("heatpump_invalid")
    const id = entry.id
    const manufacturer = entry.manufacturer ?? ""
    const ownModel = entry.model ?? ""
    if (typeof id !== "string" || !tagPattern.test(id)) return refuse("heatpump_invalid")
    if (typeof manufacturer !== "string" || !(manufacturer === "" || tagPattern.test(manufacturer))) {
      return refuse("heatpump_invalid")
    }
    if (typeof ownModel !== "string" || !(ownModel === "" || isModelName(ownModel))) return refuse("heatpump_invalid")
    const key = `${id}\n${manufacturer}\n${ownModel}`
    if (!sourceIndex.has(key) && sources.length >= maxHeatpumps) return refuse("too_many_heatpumps")
    const source = () => sourceOf(key, () => heatpumpOf(id, manufacturer, ownModel, model))
    return readFields(values, source, timestampMs, false)
  }

  const home = () => sourceOf("", () => ({ model }))

  const readRecord = (record: unknown): boolean => {
    if (!isObject(record)) {
      report("not_an_object")
      return false
    }
    const timestampMs = timestampVerdict(record.timestamp, nowMs, retentionMs)
    if (typeof timestampMs !== "number") {
      report(timestampMs)
      return false
    }
    let accepted = readFields(record, home, timestampMs, true)
    if (Array.isArray(record.heatpumps)) {
      for (const entry of record.heatpumps) accepted = readHeatpump(entry, timestampMs) || accepted
    }
    if (!accepted) report("no_numeric_fields")
    return accepted
  }

  for (index = 0; index < data.length; index++) {
    if (readRecord(data[index])) processed++
  }
  return {
    sources,
    readings,
    fieldSets: fieldSets.written(),
    processed,
    rejected: data.length - processed,
    fieldsDropped,
    verdicts: verdicts.first,
    verdictCounts: verdicts.counts
  }
}
