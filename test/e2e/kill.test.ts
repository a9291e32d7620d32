import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Stream } from "effect"
import { InstallationId } from "../../src/domain/InstallationId.js"
import { layerEmbeddedStore } from "../../src/store/EmbeddedStore.js"
import { Store } from "../../src/store/Store.js"
import { startServer } from "../support/program.js"
import { submit } from "../support/testServer.js"

const kills = 20
const clients = 4
const firstTimestamp = Math.floor(Date.now() / 1000) - 86_400

interface Batch {
  readonly installation: string
  /** Every value in the batch is derived from it, so that a mixed-up value is noticed. */
  readonly number: number
  readonly records: number
}

const installationOf = (client: number) => `3f2b8c1e-9a47-4d0e-8b65-00000000000${client}`

const timestampOf = ({ number }: Batch, record: number) => firstTimestamp + number * 10 + record / 100
const valueIn = ({ number }: Batch, record: number) => number + record / 1000

const bodyOf = (batch: Batch) => ({
  installation_id: batch.installation,
  heatpump_model: "AERO SLM",
  version: "1.0.1",
  data: Array.from({ length: batch.records }, (_, record) => ({
    timestamp: timestampOf(batch, record),
    number: valueIn(batch, record),
    ...Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`filler_${i}`, record + i / 10]))
  }))
})

describe("kill -9", () => {
  it(`loses no acknowledged record in ${kills} kills under load, and stores none twice`, async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "telemetry-kill-"))
    const acknowledged: Array<Batch> = []
    let sent = 0
    let next = 0

    /** Submits batch after batch until the server is gone. A batch without an answer may or may not be stored. */
    const client = async (url: string, number: number) => {
      while (true) {
        const batch = { installation: installationOf(number), number: next++, records: next % 7 === 0 ? 400 : 5 }
        sent++
        try {
          const response = await submit(url, bodyOf(batch))
          if (response.status !== 200) throw new Error(`answered ${response.status}: ${await response.text()}`)
          const result = await response.json()
          assert.deepInclude(result, { processed: batch.records, duplicate: false })
          acknowledged.push(batch)
        } catch (error) {
          if (error instanceof TypeError) return
          throw error
        }
      }
    }

    for (let kill = 0; kill < kills; kill++) {
      const server = await startServer({ DATA_DIR: dataDir })
      const running = Array.from({ length: clients }, (_, number) => client(server.url, number))
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 600))
      assert.strictEqual(await server.stop("SIGKILL"), "SIGKILL")
      await Promise.all(running)
    }

    const stored = await Effect.gen(function* () {
      const store = yield* Store
      const seen = new Map<string, number>()
      for (let number = 0; number < clients; number++) {
        yield* Stream.runForEach(store.read(InstallationId.make(installationOf(number))), (record) =>
          Effect.sync(() => {
            const key = `${installationOf(number)} ${record.timestampMs}`
            assert.isFalse(seen.has(key), `stored twice: ${key}`)
            seen.set(key, record.values.get("number")!)
          })
        )
      }
      return seen
    }).pipe(
      Effect.provide(
        layerEmbeddedStore({
          file: join(dataDir, "telemetry.sqlite"),
          retention: Duration.days(365),
          minFreeDiskBytes: 0
        })
      ),
      Effect.runPromise
    )

    let records = 0
    for (const batch of acknowledged) {
      for (let record = 0; record < batch.records; record++) {
        const key = `${batch.installation} ${Math.round(timestampOf(batch, record) * 1000)}`
        assert.strictEqual(stored.get(key), valueIn(batch, record), `lost or wrong: ${key}`)
        records++
      }
    }
    assert.isAbove(acknowledged.length, kills, "the load was too thin to prove anything")
    process.stdout.write(
      `kill -9: ${kills} kills, ${sent} batches sent, ${acknowledged.length} acknowledged with ${records} records, all there once; ${stored.size - records} records of unanswered batches\n`
    )
    rmSync(dataDir, { recursive: true })
  }, 120_000)
})
