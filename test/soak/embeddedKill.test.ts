import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { InstallationId } from "../../src/domain/InstallationId.js"
import { Store } from "../../src/store/Store.js"
import { layerStoreOf, serverProcess } from "../support/program.js"
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

/** 150 sensors, the same in every batch and made once: the test must not be slower than the server. */
const sensors = Array.from({ length: 500 }, (_, record) =>
  Array.from({ length: 150 }, (_, i) => `"temp_filler_${i}": ${record + i / 10}`).join(", ")
)

/** One record, or the 500 of a full request: about 1.7 MB. */
const bodyOf = (batch: Batch) => {
  const records = Array.from(
    { length: batch.records },
    (_, record) =>
      `{"timestamp": ${timestampOf(batch, record)}, "number": ${valueIn(batch, record)}, ${sensors[record]}}`
  )
  const envelope = `"installation_id": "${batch.installation}", "heatpump_model": "AERO SLM", "version": "1.0.1"`
  return `{${envelope}, "data": [${records.join(", ")}]}`
}

const keyOf = (batch: Batch, record: number) => `${batch.installation} ${Math.round(timestampOf(batch, record) * 1000)}`

describe("kill -9", () => {
  it(`loses no acknowledged record in ${kills} kills under load, and stores none twice`, async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "telemetry-kill-"))
    const acknowledged: Array<Batch> = []
    const unanswered: Array<Batch> = []
    let next = 0

    /** Submits batch after batch until the server is gone. A batch without an answer may or may not be stored. */
    const client = async (url: string, number: number, onAnswer: () => void) => {
      while (true) {
        const isFull = number === 0 || next % 50 === 0
        const batch = { installation: installationOf(number), number: next++, records: isFull ? 500 : 1 }
        try {
          const response = await submit(url, bodyOf(batch))
          if (response.status !== 200) throw new Error(`answered ${response.status}: ${await response.text()}`)
          const result = await response.json()
          assert.deepInclude(result, { processed: batch.records, rejected: 0, fields_dropped: 0, duplicate: false })
          acknowledged.push(batch)
          onAnswer()
        } catch (error) {
          // What fetch throws when the connection breaks or is refused.
          if (!(error instanceof TypeError)) throw error
          unanswered.push(batch)
          return
        }
      }
    }

    /** Killed up to 400 ms after it listens, or in the very moment of one of its first answers. */
    const round = (isAtAnswer: boolean) =>
      Effect.gen(function* () {
        const server = yield* serverProcess({ DATA_DIR: dataDir })
        yield* Effect.promise(async () => {
          const numbers = Array.from({ length: clients }, (_, number) => number)
          let running: Promise<unknown> = Promise.resolve()
          const answered = new Promise<void>((resolve) => {
            let answersLeft = 1 + Math.floor(Math.random() * 10)
            const onAnswer = () => {
              if (--answersLeft === 0) resolve()
            }
            running = Promise.all(numbers.map((number) => client(server.url, number, onAnswer)))
          })
          if (isAtAnswer) await Promise.race([answered, running])
          else await new Promise((resolve) => setTimeout(resolve, Math.random() * 400))
          assert.strictEqual(await server.stop("SIGKILL"), "SIGKILL")
          await running
        })
      })
    for (let kill = 0; kill < kills; kill++) await Effect.runPromise(Effect.scoped(round(kill % 2 === 1)))

    const lastRound = Effect.gen(function* () {
      const server = yield* serverProcess({ DATA_DIR: dataDir })
      yield* Effect.promise(async () => {
        for (const batch of acknowledged.slice(-5)) {
          const again = await submit(server.url, bodyOf(batch))
          assert.deepInclude(await again.json(), { processed: batch.records, duplicate: true })
        }
        assert.strictEqual(await server.stop("SIGTERM"), 0)
      })
    })
    await Effect.runPromise(Effect.scoped(lastRound))

    const [stored, totals] = await Effect.gen(function* () {
      const store = yield* Store
      const seen = new Map<string, number>()
      for (let number = 0; number < clients; number++) {
        yield* Stream.runForEach(store.read(InstallationId.make(installationOf(number))), (record) =>
          Effect.sync(() => {
            const key = `${installationOf(number)} ${record.timestampMs}`
            assert.isFalse(seen.has(key), `stored twice: ${key}`)
            assert.strictEqual(record.values.size, 151)
            seen.set(key, record.values.get("number")!)
          })
        )
      }
      return [seen, yield* store.totals] as const
    }).pipe(Effect.provide(layerStoreOf(dataDir)), Effect.runPromise)

    const storedOf = (batch: Batch) => {
      let count = 0
      for (let record = 0; record < batch.records; record++) {
        const value = stored.get(keyOf(batch, record))
        if (value === undefined) continue
        assert.strictEqual(value, valueIn(batch, record), `wrong: ${keyOf(batch, record)}`)
        count++
      }
      return count
    }
    let records = 0
    for (const batch of acknowledged) {
      assert.strictEqual(storedOf(batch), batch.records, `lost: ${JSON.stringify(batch)}`)
      records += batch.records
    }
    const kept = unanswered.filter((batch) => {
      const count = storedOf(batch)
      assert.include([0, batch.records], count, `torn: ${JSON.stringify(batch)}`)
      records += count
      return count > 0
    })
    assert.strictEqual(stored.size, records, "records that nobody sent")
    assert.strictEqual(totals.blocks, acknowledged.length + kept.length)
    assert.strictEqual(totals.records, records)
    assert.isAbove(acknowledged.length, kills, "the load was too thin to prove anything")
    const full = acknowledged.filter((batch) => batch.records === 500).length
    process.stdout.write(
      `kill -9: ${kills} kills, ${acknowledged.length} submissions acknowledged (${full} of 500 records), ${unanswered.length} cut off (${kept.length} stored whole, the others not at all), ${records} records there once\n`
    )
    rmSync(dataDir, { recursive: true })
  }, 120_000)
})
