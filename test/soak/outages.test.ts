import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { freshDirectories } from "../support/directories.js"
import { drained, Load, serverOn, statusOf, until } from "../support/load.js"
import { hasVictoriaMetrics } from "../support/realParts.js"
import { canMount, smallDisk } from "../support/smallDisk.js"
import { databaseOf, runningDatabase } from "../support/victoriaMetrics.js"

const freshDirectory = freshDirectories()

describe.runIf(hasVictoriaMetrics)("serve with VictoriaMetrics", () => {
  it.scopedLive("accepts 50,000 records while it is down, and delivers them all once it is up", () =>
    Effect.gen(function* () {
      const database = yield* databaseOf()
      const server = yield* serverOn(database, freshDirectory())
      const load = new Load(1, { fields: 5 })
      yield* Effect.promise(async () => {
        for (let number = 0; number < 100; number++) assert.strictEqual(await load.submit(server, number), 200)
        const { journal, store } = await statusOf(server)
        assert.deepInclude(journal, { waiting_blocks: 100, waiting_samples: 300_000, settling_blocks: 0 })
        assert.match(journal?.database_error?.detail ?? "", /ECONNREFUSED/)
        assert.isFalse(journal?.database_error?.is_over)
        assert.deepInclude(store, { ready: true, records: 50_000, samples: 300_000 })
        assert.strictEqual((await fetch(`${server.url}/ready`)).status, 200)
        await database.start()
        await drained(server)
        assert.strictEqual(await load.check(database), 50_000)
        const after = await statusOf(server)
        assert.isTrue(after.journal?.database_error?.is_over)
        assert.deepInclude(after.store, { records: 50_000, samples: 300_000, blocks: 100, installations: 1 })
        process.stdout.write(
          "VictoriaMetrics down: 100 submissions of 500 records answered 200, all there once it was up\n"
        )
      })
    })
  )

  it.scopedLive("answers as ever while it is stopped in the middle of everything", () =>
    Effect.gen(function* () {
      const database = yield* runningDatabase()
      const server = yield* serverOn(database, freshDirectory())
      const load = new Load(2, { fields: 50 })
      yield* Effect.promise(async () => {
        await load.submit(server, 0)
        await drained(server)
        database.pause()
        const health: Array<number> = []
        const submissions: Array<number> = []
        for (let number = 1; number < 30; number++) {
          const start = performance.now()
          assert.strictEqual((await fetch(`${server.url}/health`)).status, 200)
          health.push(performance.now() - start)
          const middle = performance.now()
          assert.strictEqual(await load.submit(server, number), 200)
          submissions.push(performance.now() - middle)
        }
        const { active_installations_30d, store } = await statusOf(server)
        assert.deepInclude(store, { ready: true, records: 15_000 })
        assert.strictEqual(active_installations_30d, 1)
        database.resume()
        await drained(server)
        assert.strictEqual(await load.check(database), 15_000)
        process.stdout.write(
          `VictoriaMetrics stopped: /health at most ${Math.max(...health).toFixed(0)} ms, 500 records at most ${Math.max(...submissions).toFixed(0)} ms, all there afterwards\n`
        )
      })
    })
  )

  it.scopedLive("delivers what was acknowledged before SIGTERM under load, at once or after the next start", () =>
    Effect.gen(function* () {
      const database = yield* runningDatabase()
      const dataDir = freshDirectory()
      const server = yield* serverOn(database, dataDir)
      const load = new Load(5, { fields: 100 })
      yield* Effect.promise(async () => {
        let next = 0
        const client = async () => {
          while ((await load.submit(server, next++)) === 200);
        }
        const clients = [client(), client(), client(), client()]
        await until(async () => load.acknowledged.length >= 20)
        assert.strictEqual(await server.stop("SIGTERM"), 0)
        await Promise.all(clients)
      })
      const restarted = yield* serverOn(database, dataDir)
      yield* Effect.promise(async () => {
        await drained(restarted)
        await load.check(database)
        process.stdout.write(`SIGTERM: ${load.acknowledged.length} submissions acknowledged, all in VictoriaMetrics\n`)
      })
    })
  )

  it.scopedLive.runIf(canMount)("refuses on a full disk, loses nothing, and goes on when there is room", () =>
    Effect.gen(function* () {
      const database = yield* databaseOf()
      const disk = yield* smallDisk(freshDirectory(), 24)
      const server = yield* serverOn(database, disk, { MIN_FREE_DISK_BYTES: "4000000" })
      const load = new Load(7, { fields: 60 })
      yield* Effect.promise(async () => {
        let next = 0
        const fill = async () => {
          let status = await load.submit(server, next)
          for (; status === 200; status = await load.submit(server, next)) next++
          assert.strictEqual(status, 503)
          return next
        }
        const untilFull = await fill()
        assert.isAbove(untilFull, 3)
        // Another program takes the rest.
        const ballast = join(disk, "ballast")
        assert.throws(() => writeFileSync(ballast, Buffer.alloc(32 * 1024 * 1024)), /ENOSPC/)
        assert.strictEqual(await load.submit(server, next), 503)
        rmSync(ballast)
        await database.start()
        await until(
          async () => (await load.submit(server, next)) === 200,
          () => server.log().slice(-2_000)
        )
        next++
        await drained(server)
        assert.strictEqual(await load.check(database), 500 * next)
        process.stdout.write(
          `a full disk: ${untilFull} submissions acknowledged, ${next - untilFull} after it had room again, all in VictoriaMetrics\n`
        )
      })
    })
  )
})
