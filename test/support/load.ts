/** A server with VictoriaMetrics behind it, and a load on it of which every acknowledged record can be found again. */
import { assert } from "@effect/vitest"
import { Schema } from "effect"
import { Status } from "../../src/http/Api.js"
import { type RunningServer, serverProcess } from "./program.js"
import { submit, testToken } from "./testServer.js"
import { type Database, sampleKey } from "./victoriaMetrics.js"

const environmentOf = (database: Database, dataDir: string) => ({
  DATA_DIR: dataDir,
  VM_WRITE_URL: database.url,
  VM_SETTLE_SECONDS: "0",
  VM_TIMEOUT_SECONDS: "2",
  LOG_FORMAT: "json"
})
export const serverOn = (database: Database, dataDir: string, others: Readonly<Record<string, string>> = {}) =>
  serverProcess({ ...environmentOf(database, dataDir), ...others })

export const statusOf = async ({ url }: RunningServer) => {
  const response = await fetch(`${url}/api/v1/status`, { headers: { authorization: `Bearer ${testToken}` } })
  return Schema.decodeUnknownSync(Status)(await response.json())
}
/** @param state told when it never comes to be */
export const until = async (isSo: () => Promise<boolean>, state: () => unknown = () => "") => {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (await isSo()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.fail(`it never came to be: ${JSON.stringify(state())}`)
}
/** Nothing is on its way any more. */
export const drained = async (server: RunningServer) => {
  let status = await statusOf(server)
  const isSo = async () => {
    status = await statusOf(server)
    return status.journal !== null && status.journal.waiting_blocks + status.journal.settling_blocks === 0
  }
  await until(isSo, () => [status, server.log().slice(-2_000)])
}

/** Submits batches of records that say which they are, and remembers what was acknowledged. */
export class Load {
  readonly acknowledged: Array<number> = []
  readonly #sent = new Set<number>()
  readonly #firstTimestampMs = Math.floor(Date.now() / 1000) * 1000 - 86_400_000
  readonly #fields: number
  readonly #records: number
  readonly #installation: string

  /** @param fields besides `number`, random and hard to compress */
  constructor(installation: number, { fields, records = 500 }: { readonly fields: number; readonly records?: number }) {
    this.#installation = `3f2b8c1e-9a47-4d0e-8b65-${String(installation).padStart(12, "0")}`
    this.#fields = fields
    this.#records = records
  }

  /** The status of the answer; 0 when there was none. */
  async submit(server: RunningServer, number: number): Promise<number> {
    const data = Array.from({ length: this.#records }, (_, record) => ({
      timestamp: this.#timestampMs(number, record) / 1000,
      number: numberIn(number, record),
      ...Object.fromEntries(
        Array.from({ length: this.#fields }, (_, i) => [`filler_${i}`, Math.round(Math.random() * 1e9)])
      )
    }))
    this.#sent.add(number)
    try {
      const response = await submit(server.url, { installation_id: this.#installation, version: "1.0.1", data })
      await response.text()
      if (response.status === 200) this.acknowledged.push(number)
      return response.status
    } catch {
      return 0
    }
  }

  /** Every acknowledged record must be in the database, and nothing that was not sent. Returns how many there are. */
  async check(database: Database): Promise<number> {
    const samples = await database.samples(`heatpump_metrics_number{installation_id="${this.#installation}"}`)
    const labels = { installation_id: this.#installation, model: "unknown", version: "1.0.1" }
    const acknowledged = new Set(this.acknowledged)
    let found = 0
    for (const number of this.#sent) {
      for (let record = 0; record < this.#records; record++) {
        const key = sampleKey("heatpump_metrics_number", labels, this.#timestampMs(number, record))
        const value = samples.get(key)
        if (value === undefined && !acknowledged.has(number)) continue
        if (value !== numberIn(number, record)) assert.fail(`batch ${number}, record ${record}: ${value}`)
        found++
      }
    }
    assert.strictEqual(samples.size, found, "samples that nobody sent")
    return found
  }

  #timestampMs(number: number, record: number): number {
    return this.#firstTimestampMs + (number * this.#records + record) * 100
  }
}

const numberIn = (number: number, record: number): number => number * 1000 + record
