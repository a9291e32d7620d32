import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { runProgram, serverProcess } from "../support/program.js"
import { newHome, submit, testToken } from "../support/testServer.js"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-erased-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)
const bytesOf = (dataDir: string) =>
  Buffer.concat(
    readdirSync(dataDir, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => readFileSync(join(dataDir, name)))
  )

it.scopedLive("a backup that is older than an erasure does not bring the home back, and keeps its neighbours", () =>
  Effect.gen(function* () {
    const root = yield* directory
    const dataDir = join(root, "data")
    const backup = join(root, "telemetry.tar")
    const now = Date.now() / 1000
    const home = (value: number) =>
      newHome(Array.from({ length: 20 }, (_, i) => ({ timestamp: now - i, temp_outside: value, canary: value + i })))
    const [canary, neighbour, later] = [home(21.25), home(-3.5), home(4)]
    const environment = { DATA_DIR: dataDir, AUTH_TOKEN: testToken }
    const run = async (...args: ReadonlyArray<string>) => {
      const done = await runProgram(args, environment)
      assert.strictEqual(done.code, 0, done.stderr)
      return done.stdout
    }
    const exported = (url: string, id: string) => run("export", "--installation", id, "--url", url)

    const before = yield* Effect.scoped(
      Effect.gen(function* () {
        const server = yield* serverProcess({ DATA_DIR: dataDir })
        return yield* Effect.promise(async () => {
          // A first erasure, so that both lists have one beginning.
          for (const body of [later, canary, neighbour]) {
            assert.strictEqual((await submit(server.url, body)).status, 200)
          }
          await run("erase", "--installation", later.installation_id, "--yes", "--url", server.url)
          await run("backup", "--output", backup)
          assert.include(await exported(server.url, canary.installation_id), "21.25")
          const before = await exported(server.url, neighbour.installation_id)
          await run("erase", "--installation", canary.installation_id, "--yes", "--url", server.url)
          assert.isFalse(bytesOf(dataDir).includes(canary.installation_id))
          assert.strictEqual(await server.stop("SIGTERM"), 0)
          return before
        })
      })
    )
    assert.isTrue(readFileSync(backup).includes(canary.installation_id), "the backup has it")
    yield* Effect.promise(() => run("restore", "--input", backup, "--yes"))
    const server = yield* serverProcess({ DATA_DIR: dataDir })
    yield* Effect.promise(async () => {
      assert.isFalse(bytesOf(dataDir).includes(canary.installation_id), "nor is it in any page of the restored store")
      assert.strictEqual(await exported(server.url, canary.installation_id), "")
      assert.strictEqual(await exported(server.url, neighbour.installation_id), before)
      for (const body of [canary, later]) assert.strictEqual((await submit(server.url, body)).status, 410)
      assert.strictEqual((await submit(server.url, neighbour)).status, 200)
    })
  })
)
