import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { freshDirectories } from "../support/directories.js"
import { drained, Load, serverOn, statusOf, until } from "../support/load.js"
import { payloadNames, samplesIn, sentBody } from "../support/payloads.js"
import { runProgram } from "../support/program.js"
import { hasVictoriaMetrics } from "../support/realParts.js"
import { submit, testToken } from "../support/testServer.js"
import { databaseOf, runningDatabase } from "../support/victoriaMetrics.js"

const freshDirectory = freshDirectories()

describe.runIf(hasVictoriaMetrics)("serve with VictoriaMetrics", () => {
  it.scopedLive("puts all four bodies of the real client there, sample by sample", () =>
    Effect.gen(function* () {
      const database = yield* runningDatabase()
      const server = yield* serverOn(database, freshDirectory())
      yield* Effect.promise(async () => {
        let samples = 0
        let largestError = 0
        for (const name of payloadNames) {
          const { body, installationId } = sentBody(name)
          assert.strictEqual((await submit(server.url, body)).status, 200)
          await drained(server)
          const expected = samplesIn(body, installationId)
          const exported = await database.samples(
            `{__name__=~"heatpump_metrics_.*",installation_id="${installationId}"}`
          )
          assert.strictEqual(exported.size, expected.size)
          for (const [key, value] of expected) {
            const found = exported.get(key)
            if (found === undefined) assert.fail(`not in the database: ${key}`)
            const error = Math.abs(found - value) / Math.max(1e-300, Math.abs(value))
            largestError = Math.max(largestError, error)
          }
          samples += expected.size
        }
        assert.isAtMost(largestError, 1e-12)
        const { active_installations_30d, store } = await statusOf(server)
        assert.deepInclude(store, { kind: "victoriametrics", installations: 4, records: 1006, samples, blocks: 4 })
        assert.strictEqual(active_installations_30d, 4)
        process.stdout.write(
          `VictoriaMetrics: ${samples} samples of 4 bodies exported as accepted, largest relative error ${largestError}\n`
        )
      })
    })
  )

  it.scopedLive("refuses with 503 when the journal is full, and goes on by itself when the database is back", () =>
    Effect.gen(function* () {
      const database = yield* databaseOf()
      const server = yield* serverOn(database, freshDirectory(), { JOURNAL_MAX_BYTES: "1000000" })
      const load = new Load(3, { fields: 40 })
      yield* Effect.promise(async () => {
        let number = 0
        while ((await load.submit(server, number)) === 200) number++
        assert.isAbove(number, 3)
        const refused = await submit(server.url, { installation_id: "3f2b8c1e-9a47-4d0e-8b65-000000000004", data: [] })
        assert.include([200, 503], refused.status)
        const { journal } = await statusOf(server)
        assert.isAtMost(journal?.bytes ?? 0, 1_000_000)
        await database.start()
        await until(async () => (await load.submit(server, number)) === 200)
        await drained(server)
        assert.strictEqual(await load.check(database), 500 * (number + 1))
      })
    })
  )

  it.scopedLive("uses what a server before it has left there under the same names", () =>
    Effect.gen(function* () {
      const database = yield* runningDatabase()
      const server = yield* serverOn(database, freshDirectory())
      yield* Effect.promise(async () => {
        const tags = "installation_id=3f2b8c1e-9a47-4d0e-8b65-000000000006,model=AERO_SLM,version=0.9"
        const line = `heatpump_metrics,${tags} temp_outside=5.5 ${Date.now() - 3_600_000}`
        await fetch(`${database.url}/write?precision=ms`, { method: "POST", body: line })
        await database.flush()
        const load = new Load(6, { fields: 1 })
        assert.strictEqual(await load.submit(server, 0), 200)
        await drained(server)
        const all = await database.samples('{installation_id="3f2b8c1e-9a47-4d0e-8b65-000000000006"}')
        assert.strictEqual([...all.keys()].filter((key) => key.startsWith("heatpump_metrics_temp_outside")).length, 1)
        assert.strictEqual(await load.check(database), 500)
      })
    })
  )

  it.scopedLive("is what `telemetry status` speaks of", () =>
    Effect.gen(function* () {
      const database = yield* databaseOf()
      const dataDir = freshDirectory()
      const server = yield* serverOn(database, dataDir)
      const load = new Load(8, { fields: 1 })
      yield* Effect.promise(async () => {
        assert.strictEqual(await load.submit(server, 0), 200)
        await until(async () => (await statusOf(server)).journal?.database_error !== null)
        const environment = { AUTH_TOKEN: testToken, DATA_DIR: dataDir }
        const { code, stdout } = await runProgram(["status", "--url", server.url], environment)
        assert.strictEqual(code, 0)
        assert.match(stdout, /^Store +VictoriaMetrics, accepting submissions$/m)
        assert.match(stdout, /^Waiting +1 block, 1,000 samples, the oldest for (\d+ min )?\d+ s$/m)
        assert.match(stdout, /^Database +NOT taking writes since .*ECONNREFUSED/m)
      })
    })
  )
})
