/** The built program and VictoriaMetrics: a person's rights, as an operator exercises them. */
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { drained, serverOn, statusOf, until } from "../support/load.js"
import { runProgram, serverProcess } from "../support/program.js"
import { hasVictoriaMetrics } from "../support/realParts.js"
import { newHome, submit, testToken } from "../support/testServer.js"
import { runningDatabase } from "../support/victoriaMetrics.js"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-rights-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)
const nowSeconds = Math.floor(Date.now() / 1000)
const home = (value: number) =>
  newHome(
    Array.from({ length: 20 }, (_, i) => ({ timestamp: nowSeconds - i, temp_outside: value, canary: value + i / 8 }))
  )
const filesIn = (dataDir: string) =>
  Buffer.concat(readdirSync(dataDir).map((name) => readFileSync(join(dataDir, name))))

describe.runIf(hasVictoriaMetrics)("with VictoriaMetrics", () => {
  it.scopedLive("a home is listed, exported and erased everywhere, and stays erased in a restored database", () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const database = yield* runningDatabase()
      const [canary, neighbour] = [home(21.25), home(-3.5)]
      const id = canary.installation_id
      const selector = (installation: string) => `{installation_id="${installation}"}`
      const environment = { DATA_DIR: dataDir }

      yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* serverOn(database, dataDir)
          const telemetry = (...args: ReadonlyArray<string>) =>
            runProgram(
              [
                ...args.slice(0, 1),
                "--url",
                server.url,
                "--token",
                "a-token-of-the-tests-0123456789",
                ...args.slice(1)
              ],
              environment
            )
          yield* Effect.promise(async () => {
            for (const body of [canary, neighbour]) assert.strictEqual((await submit(server.url, body)).status, 200)
            await drained(server)
            await database.flush()
            const others = await database.samples(selector(neighbour.installation_id))
            assert.isAbove((await database.samples(selector(id))).size, 40)

            const listed = await telemetry("installations", "--json")
            assert.deepStrictEqual(
              JSON.parse(listed.stdout).installations.map((i: Record<string, unknown>) => [
                i.installation_id,
                i.records,
                i.samples
              ]),
              [id, neighbour.installation_id].sort().map((installation) => [installation, 20, 40])
            )
            assert.include((await telemetry("installations")).stdout, id)
            assert.strictEqual((await statusOf(server)).store.oldest_day, new Date().toISOString().slice(0, 10))

            const exported = await telemetry("export", "--installation", id, "--format", "csv")
            assert.strictEqual(exported.code, 0, exported.stderr)
            assert.strictEqual(exported.stdout.trimEnd().split("\r\n").length, 41)
            assert.include(exported.stdout, "canary,21.25\r\n")

            for (const format of ["jsonl", "csv"]) {
              const stranger = await telemetry("export", "--installation", crypto.randomUUID(), "--format", format)
              assert.match(stranger.stderr, /^Nothing is stored of [0-9a-f-]{36}: is it the right id\?/)
            }
            assert.strictEqual(exported.stderr, "")

            const hesitant = await telemetry("erase", "--installation", id)
            assert.deepStrictEqual([hesitant.code, hesitant.stdout], [2, ""])
            const dry = await telemetry("erase", "--installation", id, "--dry-run")
            assert.match(dry.stdout, /^Would be erased of [0-9a-f-]{36}: 20 records, 40 samples\n$/)
            assert.strictEqual((await telemetry("erase", "--installation", "no-uuid", "--yes")).code, 2)
            assert.isAbove((await database.samples(selector(id))).size, 40)

            // What a server before this one has left in the database.
            const former = crypto.randomUUID()
            const line = `heatpump_metrics,installation_id=${former},model=x canary=21.25 ${nowSeconds * 1000}\n`
            await fetch(`${database.url}/write?precision=ms`, { method: "POST", body: line })
            await database.flush()
            await until(async () => (await telemetry("installations")).stdout.includes(former))
            assert.match((await telemetry("installations")).stdout, /unknown +not counted +not counted/)
            const uncounted = await telemetry("erase", "--installation", former, "--dry-run")
            assert.match(uncounted.stdout, /^Would be erased of [0-9a-f-]{36}: .*not counted\n$/)
            assert.strictEqual((await telemetry("erase", "--installation", former, "--yes")).code, 0)
            assert.strictEqual((await database.samples(selector(former))).size, 0)
            assert.notInclude((await telemetry("installations")).stdout, former)

            const erased = await telemetry("erase", "--installation", id, "--yes")
            assert.strictEqual(erased.code, 0, erased.stderr)
            assert.match(erased.stdout, /^Erased at .* all data of .*: 20 records, 40 samples\n/)
            assert.strictEqual((await database.samples(selector(id))).size, 0)
            assert.deepStrictEqual(await database.samples(selector(neighbour.installation_id)), others)
            assert.isFalse(filesIn(dataDir).includes(id))
            assert.strictEqual((await submit(server.url, canary)).status, 410)
            assert.strictEqual((await telemetry("export", "--installation", id)).stdout, "")
            assert.notInclude(server.log(), id)
          })
        })
      )

      // What a restored backup of the database would bring back, past the collector.
      yield* Effect.promise(async () => {
        const response = await fetch(`${database.url}/write?precision=ms`, {
          method: "POST",
          body: `heatpump_metrics,installation_id=${id},model=x canary=21.25 ${nowSeconds * 1000}\n`
        })
        assert.strictEqual(response.status, 204)
        assert.strictEqual((await database.samples(selector(id))).size, 1)
      })
      yield* Effect.scoped(
        Effect.zipRight(
          serverOn(database, dataDir),
          Effect.promise(() => until(async () => (await database.samples(selector(id))).size === 0))
        )
      )

      // Another collector of the same database has a list of its own, and is told itself.
      const otherDir = yield* directory
      const other = yield* serverOn(database, otherDir)
      yield* Effect.promise(async () => {
        assert.strictEqual((await submit(other.url, canary)).status, 200)
        await drained(other)
        await database.flush()
        // The database is slow to show again what it has deleted before.
        await until(async () => (await database.samples(selector(id))).size > 40)
      })
      yield* serverOn(database, dataDir)
      yield* Effect.promise(async () => {
        await until(async () => (await database.samples(selector(id))).size === 0)
        const told = await runProgram(["erase", "--url", other.url, "--installation", id, "--yes"], {
          DATA_DIR: otherDir,
          AUTH_TOKEN: testToken
        })
        assert.strictEqual(told.code, 0, told.stderr)
        assert.strictEqual((await submit(other.url, canary)).status, 410)
        assert.isFalse(filesIn(otherDir).includes(id))
        assert.isAbove((await database.samples(selector(neighbour.installation_id))).size, 40)
      })
    })
  )
})

it.scopedLive("SIGHUP: tokens are read again from their files; what cannot be read changes nothing", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    const [logger, admin] = [join(dataDir, "logger"), join(dataDir, "admin")]
    const token = (n: number) => `a-token-number-${n}-0123456789`
    writeFileSync(logger, token(1))
    writeFileSync(admin, token(2))
    const server = yield* serverProcess({
      DATA_DIR: join(dataDir, "data"),
      AUTH_TOKEN: "",
      AUTH_TOKEN_FILE: logger,
      ADMIN_TOKEN_FILE: admin
    })
    yield* Effect.promise(async () => {
      const submitted = async (n: number) =>
        (await submit(server.url, home(n), { authorization: `Bearer ${token(n)}` })).status
      const administered = async (n: number) =>
        (await fetch(`${server.url}/api/v1/installations`, { headers: { authorization: `Bearer ${token(n)}` } })).status
      assert.deepStrictEqual([await submitted(1), await administered(2), await administered(1)], [200, 200, 403])
      writeFileSync(logger, `${token(1)},${token(3)}`)
      writeFileSync(admin, token(4))
      assert.deepStrictEqual([await submitted(3), await administered(4)], [403, 403])
      server.child.kill("SIGHUP")
      await until(async () => (await submitted(3)) === 200)
      assert.deepStrictEqual([await submitted(1), await administered(4), await administered(2)], [200, 200, 403])
      copyFileSync("/dev/null", admin)
      server.child.kill("SIGHUP")
      await until(async () => server.log().includes("the tokens stay as they are"))
      assert.deepStrictEqual([await submitted(1), await administered(4), await administered(2)], [200, 200, 403])
      for (let n = 1; n <= 4; n++) assert.notInclude(server.log(), token(n))
      assert.strictEqual(await server.stop("SIGTERM"), 0)
    })
  })
)
