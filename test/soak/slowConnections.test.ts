/** Slowloris at the built program: thousands of connections that are held open, from another process. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { serverProcess } from "../support/program.js"
import { newHome, submit, testToken } from "../support/testServer.js"

const slowFile = fileURLToPath(new URL("../support/slowConnections.mjs", import.meta.url))
const connections = 2_000

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-slow-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)
const slowProcess = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(async (): Promise<ChildProcess> => {
      const args = [slowFile, new URL(url).port, String(connections), `Bearer ${testToken}`]
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
      await once(child.stdout!, "data")
      return child
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
const homeOf500 = () => {
  const now = Date.now() / 1000
  return newHome(Array.from({ length: 500 }, (_, i) => ({ timestamp: now - i, temp_outside: i / 8, humidity: 50 })))
}

it.scopedLive.each([
  ["2,048, room for all", {}],
  ["512, a quarter of them", { MAX_CONNECTIONS: "512" }],
  ["2,048, and places for 12 bodies", { MAX_IN_FLIGHT_BYTES: String(200 * 1024 * 1024) }]
] as const)("2,000 half-open connections delay no good submission: MAX_CONNECTIONS %s", ([name, settings]) =>
  Effect.gen(function* () {
    const server = yield* serverProcess({
      DATA_DIR: yield* directory,
      ADDRESS_REQUESTS_PER_HOUR: "100000000",
      ADDRESS_NEW_INSTALLATIONS_PER_HOUR: "100000000",
      ...settings
    })
    yield* slowProcess(server.url)
    // Opening them costs time that one who merely holds them does not.
    yield* Effect.sleep("3 seconds")
    yield* Effect.promise(async () => {
      const tookMs: Array<number> = []
      // Each on a connection of its own, as loggers do it.
      for (let i = 0; i < 60; i++) {
        const startMs = performance.now()
        const response = await submit(server.url, homeOf500(), { connection: "close" })
        tookMs.push(performance.now() - startMs)
        assert.strictEqual(response.status, 200, await response.text())
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      tookMs.sort((a, b) => a - b)
      const [median, most] = [tookMs[30]!, tookMs.at(-1)!]
      process.stdout.write(`slow connections (${name}): median ${median.toFixed(0)} ms, most ${most.toFixed(0)} ms\n`)
      // The bound is one second; a loaded machine gets ten.
      assert.isBelow(most, 10_000)
      assert.notInclude(server.log(), "BUG:")
    })
  })
)
