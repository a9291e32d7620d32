import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"

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
