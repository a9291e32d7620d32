import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { sampleKey } from "./victoriaMetrics.js"

export interface Payload {
  installation_id: string
  heatpump_model: string | null
  version: string
  data: Array<{ timestamp: number; [key: string]: unknown }>
  [key: string]: unknown
}

const files = {
  flat3: "flat_v1_3.json",
  nested3: "nested_v2_3.json",
  flat500: "flat_v1_500.json.gz",
  nested500: "nested_v2_500.json.gz"
} as const
export type PayloadName = keyof typeof files
export const payloadNames = Object.keys(files) as ReadonlyArray<PayloadName>

/** A real client's body exactly as it was sent, long ago. */
export const recordedBody = (name: PayloadName): Buffer => {
  const bytes = readFileSync(new URL(`../fixtures/${files[name]}`, import.meta.url))
  return files[name].endsWith(".gz") ? gunzipSync(bytes) : bytes
}

/** The same body as if its last record had been made a minute before `nowMs`, so that it never expires. */
export const recentPayload = (name: PayloadName, nowMs = Date.now()): Payload => {
  const payload: Payload = JSON.parse(recordedBody(name).toString())
  const shift = Math.floor(nowMs / 1000 - 60 - payload.data.at(-1)!.timestamp)
  return {
    ...payload,
    data: payload.data.map((record) => ({ ...record, timestamp: Math.round((record.timestamp + shift) * 1000) / 1000 }))
  }
}

/** The real client's bytes with two changes: recent timestamps, and a home of its own. */
export const sentBody = (name: PayloadName) => {
  const text = recordedBody(name).toString()
  const timestamp = /"timestamp": (\d+\.\d+)/g
  const last = Number([...text.matchAll(timestamp)].at(-1)![1])
  const shift = Math.floor(Date.now() / 1000) - 60 - Math.floor(last)
  const installationId = randomUUID()
  const body = text
    .replaceAll(timestamp, (_, seconds) => `"timestamp": ${(Number(seconds) + shift).toFixed(3)}`)
    .replace(/"installation_id": "[^"]+"/, `"installation_id": "${installationId}"`)
  return { installationId, body }
}

export const homeTags = { model: "AERO_SLM", version: "1.0.1" }
const heatpumpTags = {
  model: "navigator_2_0",
  version: "1.0.1",
  heatpump_id: "hp-7c1e09ab",
  manufacturer: "idm"
}

/** The byte-order faults of one driver, which the nested bodies really hold in every record. */
const isGarbage = (name: string, value: number) =>
  (name === "humidity" && value !== 0 && Math.abs(value) < 1e-30) || (name === "mode_circuit_a" && value === 256)

type Sent = number | boolean | string | null | { readonly value: number }
interface SentRecord {
  readonly timestamp: number
  readonly heatpumps?: ReadonlyArray<{ readonly values: Readonly<Record<string, Sent>> }>
}

/** What the store has to hold of a body: read off the JSON with nothing of the server's own code. */
export const numbersIn = (body: string) => {
  const { data } = JSON.parse(body) as { readonly data: ReadonlyArray<SentRecord> }
  return data.map((record) => {
    const { timestamp, ...flat } = record
    const sensors = Object.entries(
      record.heatpumps === undefined ? flat : record.heatpumps[0]!.values
    ) as ReadonlyArray<[string, Sent]>
    const values: Record<string, number> = {}
    for (const [name, sent] of sensors) {
      if (typeof sent === "string" || sent === null) continue
      // Line protocol does not tell -0 from 0.
      const value = (typeof sent === "object" ? sent.value : Number(sent)) + 0
      if (record.heatpumps === undefined || !isGarbage(name, value)) values[name] = value
    }
    return {
      timestampMs: Math.round(timestamp * 1000),
      tags: record.heatpumps === undefined ? homeTags : heatpumpTags,
      values
    }
  })
}

/** The same, as a database has to hold it: value by series and time. */
export const samplesIn = (body: string, installationId: string): ReadonlyMap<string, number> =>
  new Map(
    numbersIn(body).flatMap(({ tags, timestampMs, values }) =>
      Object.entries(values).map(([field, value]) => [
        sampleKey(`heatpump_metrics_${field}`, { ...tags, installation_id: installationId }, timestampMs),
        value
      ])
    )
  )
