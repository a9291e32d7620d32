/** Minutes long: `npm run test:soak`. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { drained, Load, serverOn, statusOf, until } from "../support/load.js"
import type { RunningServer } from "../support/program.js"
import { hasVictoriaMetrics } from "../support/realParts.js"
import { proxyOf, runningDatabase } from "../support/victoriaMetrics.js"

const collectorKills = Number(process.env.COLLECTOR_KILLS ?? 100)
const databaseKills = Math.ceil(collectorKills / 5)
const proxiedKills = Math.ceil(collectorKills / 20)
const clients = 3
/** VictoriaMetrics holds what it takes in memory for up to 6 seconds. */
const settleSeconds = "8"

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe.runIf(hasVictoriaMetrics)("kill -9", () => {
  it.scopedLive(
    `of the collector ${collectorKills} times, then of VictoriaMetrics ${databaseKills} times: every acknowledged record arrives`,
    () =>
      Effect.gen(function* () {
        const dataDir = mkdtempSync(join(tmpdir(), "telemetry-soak-"))
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(dataDir, { recursive: true })))
        const database = yield* runningDatabase()
        const loads = Array.from({ length: clients }, (_, i) => new Load(i + 1, { fields: 4, records: 20 }))
        const next = loads.map(() => 0)
        /** Each client submits until the server is gone or `isOver`. */
        const submitUntil = (server: RunningServer, isOver: () => boolean) =>
          Promise.all(
            loads.map(async (load, i) => {
              while (!isOver() && (await load.submit(server, next[i]!++)) === 200);
            })
          )

        const round = Effect.gen(function* () {
          // Settling takes no time here: the database is not killed in this part.
          const server = yield* serverOn(database, dataDir)
          yield* Effect.promise(async () => {
            const running = submitUntil(server, () => false)
            await wait(Math.random() * 600)
            assert.strictEqual(await server.stop("SIGKILL"), "SIGKILL")
            await running
          })
        })
        for (let kill = 0; kill < collectorKills; kill++) yield* Effect.scoped(round)
        const acknowledgedBefore = loads.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0)
        yield* Effect.promise(async () => {
          await database.stop("SIGTERM")
          await database.start()
        })

        const server = yield* serverOn(database, dataDir, { VM_SETTLE_SECONDS: settleSeconds })
        yield* Effect.promise(async () => {
          let isOver = false
          const running = submitUntil(server, () => isOver)
          for (let kill = 0; kill < databaseKills; kill++) {
            // Sometimes longer than settling takes, so that confirmed blocks are among what a kill could cost.
            await wait(Math.random() * 10_000)
            await database.stop("SIGKILL")
            await wait(Math.random() * 500)
            await database.start()
          }
          isOver = true
          await running
          await drained(server)
          let records = 0
          for (const load of loads) records += await load.check(database)
          const acknowledged = loads.reduce((sum, load) => sum + load.acknowledged.length, 0)
          assert.isAbove(acknowledgedBefore, collectorKills)
          assert.strictEqual(await server.stop("SIGTERM"), 0)
          process.stdout.write(
            `kill -9: ${collectorKills} of the collector and ${databaseKills} of VictoriaMetrics, ${acknowledged} submissions of 20 records acknowledged (${acknowledgedBefore} in the first part), ${records} records in VictoriaMetrics, none missing, none wrong\n`
          )
        })
      }),
    900_000
  )

  it.scopedLive(
    `of VictoriaMetrics ${proxiedKills} times behind a proxy with metrics of its own: every acknowledged record arrives`,
    () =>
      Effect.gen(function* () {
        const dataDir = mkdtempSync(join(tmpdir(), "telemetry-soak-"))
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(dataDir, { recursive: true })))
        const database = yield* runningDatabase()
        const proxy = yield* proxyOf(database)
        const server = yield* serverOn(database, dataDir, { VM_WRITE_URL: proxy, VM_SETTLE_SECONDS: settleSeconds })
        const load = new Load(1, { fields: 4, records: 20 })
        yield* Effect.promise(async () => {
          let next = 0
          for (let kill = 0; kill < proxiedKills; kill++) {
            // The rest of it settles, and what comes last is taken just before the database is killed.
            for (let i = 0; i < 10; i++) assert.strictEqual(await load.submit(server, next++), 200)
            await wait(Math.random() * 4_000)
            assert.strictEqual(await load.submit(server, next++), 200)
            await until(async () => (await statusOf(server)).journal?.waiting_blocks === 0)
            await database.stop("SIGKILL")
            await database.start()
          }
          await wait(10_000)
          await drained(server)
          await load.check(database)
          assert.strictEqual(await server.stop("SIGTERM"), 0)
        })
      }),
    300_000
  )
})
