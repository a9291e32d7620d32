/** What the benchmarks share: bodies to send, medians, and one way of showing a table. */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { cpus } from "node:os"
import { gunzipSync } from "node:zlib"
import type { Block } from "../src/domain/Block.js"
import { InstallationId } from "../src/domain/InstallationId.js"
import { ModelName } from "../src/domain/ModelName.js"
import { sensors } from "../src/domain/Sensor.js"

export const standardRecords = 500
export const standardSensors = 60

/** Deterministic, so that two runs measure the same. Numbers from 0 to below 1. */
export const seededRandom = (seed: number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** The standard batch: 500 records of 60 sensors with one to two decimals, written as Python's json.dumps does. */
export const standardBatch = (): Buffer => {
  const random = seededRandom(42)
  const names = [...sensors.values()].filter(({ kind }) => kind === "float").slice(0, standardSensors)
  const start = Math.floor(Date.now() / 1000) - 86_400
  // Random walks: like sensors, half of them stand still from one minute to the next.
  const values = names.map(() => random() * 60)
  const records = Array.from({ length: standardRecords }, (_, i) => {
    const fields = names.map(({ name }, k) => {
      if (random() < 0.5) values[k] = Math.min(99, Math.max(0, values[k]! + random() - 0.5))
      return `"${name}": ${values[k]!.toFixed(1 + (k % 2))}`
    })
    return `{${fields.join(", ")}, "timestamp": ${start + i * 60}.417}`
  })
  return Buffer.from(
    `{"installation_id": "3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3", "heatpump_model": "AERO SLM", "version": "1.0.1", "data": [${records.join(", ")}]}`
  )
}

/** A real client's full batch of 500 records and 137 sensors, moved to the present. */
export const recordedBatch = (file: string): Buffer => {
  const body = gunzipSync(readFileSync(`test/fixtures/${file}`)).toString()
  const recorded = Number(/"timestamp": (\d+)/.exec(body)![1])
  const shift = Math.floor(Date.now() / 1000) - 86_400 - recorded
  return Buffer.from(body.replace(/"timestamp": (\d+)/g, (_, seconds) => `"timestamp": ${Number(seconds) + shift}`))
}

/** One of 5,000 homes. */
export const homeOf = (number: number): InstallationId =>
  InstallationId.make(`3f2b8c1e-9a47-4d0e-8b65-${String(number % 5_000).padStart(12, "0")}`)

/** A block of one record a day ago. */
export const makeBlock = (number: number, gzippedLines: Buffer): Block => {
  const timestampMs = Date.now() - 86_400_000 + number
  return {
    installationId: homeOf(number),
    model: ModelName.make("bench"),
    version: "1",
    heatpumpId: undefined,
    firstTimestampMs: timestampMs,
    lastTimestampMs: timestampMs,
    records: 1,
    samples: 1,
    sha256: createHash("sha256").update(gzippedLines).digest(),
    gzippedLines
  }
}

interface Spread {
  readonly median: number
  readonly p10: number
  readonly p90: number
  readonly p99: number
  readonly max: number
}

export const spread = (values: ReadonlyArray<number>): Spread => {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
  return { median: at(0.5), p10: at(0.1), p90: at(0.9), p99: at(0.99), max: at(1) }
}

export const show = ({ median, p10, p90 }: Spread): string =>
  `${median.toFixed(2)} (${p10.toFixed(2)} to ${p90.toFixed(2)})`

export const machine = (): string => `${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}, Node ${process.version}`

/** One benchmark's result: what is printed, and what `bench/results.json` keeps. */
export interface Result {
  readonly question: string
  readonly target: string
  readonly rows: ReadonlyArray<Readonly<Record<string, string | number>>>
}
