import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { InstallationId } from "../../src/domain/InstallationId.js"
import { Store } from "../../src/store/Store.js"
import { recentPayload } from "../support/payloads.js"
import { type Environment, layerStoreOf, mainFile, serverProcess } from "../support/program.js"
import { submit, testToken } from "../support/testServer.js"
import { openWire, submitHead } from "../support/wire.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-stop-"))
afterAll(() => rmSync(directory, { recursive: true }))

const graceMs = 8_000
const homeOf = (n: number) => `3f2b8c1e-9a47-4d0e-8b65-${String(n).padStart(12, "0")}`
const wait = (ms: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, ms)))
const portOf = (url: string) => Number(new URL(url).port)

/** Records of each home, in the file that a server has left. */
const storedIn = (dataDir: string, homes: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const store = yield* Store
    return yield* Effect.forEach(homes, (home) => Stream.runCount(store.read(InstallationId.make(home))))
  }).pipe(Effect.provide(layerStoreOf(dataDir)))

/** A submission of which only the first half has been sent. */
const halfSubmission = Effect.fn(function* (port: number, home: string) {
  const body = JSON.stringify({ ...recentPayload("flat500"), installation_id: home })
  const wire = yield* openWire(port)
  wire.send(submitHead({ "content-length": Buffer.byteLength(body) }) + body.slice(0, 100_000))
  return { wire, sendRest: () => wire.send(body.slice(100_000)) }
})

const script = "/usr/bin/script"

/** `telemetry serve` in a terminal, for the life of the scope; `close` is what closing its window does. */
const inTerminal = (environment: Environment) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const command = `echo PID $$; exec ${process.execPath} ${mainFile} serve`
      const child = spawn(script, ["--quiet", "--flush", "--command", command, "/dev/null"], {
        env: { PATH: process.env.PATH, SHELL: "/bin/sh", ...environment },
        stdio: ["ignore", "pipe", "ignore"]
      })
      let text = ""
      child.stdout.on("data", (bytes) => {
        text += bytes
      })
      const shows = (pattern: RegExp) =>
        Effect.repeat(
          Effect.map(wait(20), () => pattern.exec(text)),
          { until: (found) => found !== null }
        ).pipe(Effect.map((found) => found!))
      return { shows, close: () => child.kill("SIGKILL") }
    }),
    ({ close }) => Effect.sync(close)
  )
const isRunning = (pid: number) => existsSync(`/proc/${pid}`)

describe("telemetry serve", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it.scopedLive(`ends with 0 on ${signal} under load; who was in flight is answered, and every answer holds`, () =>
      Effect.gen(function* () {
        const dataDir = join(directory, signal)
        const server = yield* serverProcess({ DATA_DIR: dataDir })
        const payload = recentPayload("flat500")
        const acknowledged: Array<string> = []
        const clients = [1, 2, 3, 4].map(async (client) => {
          for (let batch = 0; ; batch++) {
            const home = homeOf(client * 1000 + batch)
            const response = await submit(server.url, { ...payload, installation_id: home }).catch(() => undefined)
            if (response?.status !== 200) return response?.status
            assert.deepInclude(await response.json(), { processed: 500, duplicate: false })
            acknowledged.push(home)
          }
        })
        const inFlight = yield* halfSubmission(portOf(server.url), homeOf(1))
        yield* wait(700)

        const signalledMs = Date.now()
        const ended = server.stop(signal)
        yield* wait(200)
        inFlight.sendRest()
        const answer = yield* inFlight.wire.answer
        assert.strictEqual(answer?.status, 200)
        acknowledged.push(homeOf(1))

        assert.strictEqual(yield* Effect.promise(() => ended), 0)
        assert.isBelow(Date.now() - signalledMs, graceMs)
        // A refused connection, or 503 to who came a moment too late on an open one; never a broken answer.
        for (const last of yield* Effect.promise(() => Promise.all(clients))) assert.include([undefined, 503], last)
        assert.notInclude(server.log(), "BUG")
        assert.isAbove(acknowledged.length, 4)
        const counts = yield* storedIn(dataDir, acknowledged)
        assert.deepStrictEqual(
          counts,
          acknowledged.map(() => 500)
        )
        process.stdout.write(`${signal}: ${acknowledged.length} submissions of 500 records acknowledged, all there\n`)
      })
    )
  }

  it.scopedLive("is ended by a second signal while it still waits for somebody", () =>
    Effect.gen(function* () {
      const server = yield* serverProcess({ DATA_DIR: join(directory, "twice") })
      yield* halfSubmission(portOf(server.url), homeOf(1))
      yield* wait(200)
      server.child.kill("SIGTERM")
      yield* wait(500)
      assert.isNull(server.child.exitCode, "it did not wait for the submission in flight")
      const signalledMs = Date.now()
      assert.strictEqual(yield* Effect.promise(() => server.stop("SIGTERM")), "SIGTERM")
      assert.isBelow(Date.now() - signalledMs, 1_000)
    })
  )

  it.scopedLive("ends with 0 within its grace time when somebody never finishes", () =>
    Effect.gen(function* () {
      const server = yield* serverProcess({ DATA_DIR: join(directory, "grace"), SHUTDOWN_GRACE_SECONDS: "1" })
      const { wire } = yield* halfSubmission(portOf(server.url), homeOf(1))
      yield* wait(200)
      const signalledMs = Date.now()
      assert.strictEqual(yield* Effect.promise(() => server.stop("SIGTERM")), 0)
      assert.isBelow(Date.now() - signalledMs, 3_000)
      yield* wire.closed
      assert.deepStrictEqual(yield* storedIn(join(directory, "grace"), [homeOf(1)]), [0])
    })
  )

  it.scopedLive("goes on when nobody reads its log any more", () =>
    Effect.gen(function* () {
      const server = yield* serverProcess({ DATA_DIR: join(directory, "unread") })
      server.child.stderr?.destroy()
      for (const home of [1, 2]) {
        const response = yield* Effect.promise(() =>
          submit(server.url, { ...recentPayload("flat500"), installation_id: homeOf(home) })
        )
        assert.strictEqual(response.status, 200)
      }
      assert.strictEqual(yield* Effect.promise(() => server.stop("SIGTERM")), 0)
    })
  )

  it.scopedLive.runIf(existsSync(script))(
    "SIGHUP in its terminal reads tokens; the end of the terminal is its end, once who is in flight is answered",
    () =>
      Effect.gen(function* () {
        const dataDir = join(directory, "terminal")
        const terminal = yield* inTerminal({ DATA_DIR: dataDir, AUTH_TOKEN: testToken, LOG_FORMAT: "json", PORT: "0" })
        const [, pid, port] = yield* terminal.shows(/PID (\d+)[\s\S]*Listening on http:\/\/[\d.]+:(\d+)/)
        process.kill(Number(pid), "SIGHUP")
        yield* terminal.shows(/read the tokens again/)
        const inFlight = yield* halfSubmission(Number(port), homeOf(1))
        yield* wait(200)
        terminal.close()
        yield* wait(200)
        inFlight.sendRest()
        assert.strictEqual((yield* inFlight.wire.answer)?.status, 200)
        yield* Effect.repeat(wait(50), { until: () => !isRunning(Number(pid)) })
        assert.deepStrictEqual(yield* storedIn(dataDir, [homeOf(1)]), [500])
      })
  )
})
