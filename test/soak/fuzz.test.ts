/**
 * Hostile requests at the built program. `FUZZ_REQUESTS` is how many; no two are the same but by chance. The seed is the
 * number of the tenth, so that a failure comes again.
 */
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { answersAsPublished, hostileRequest, sendHostile } from "../support/fuzz.js"
import { serverProcess } from "../support/program.js"
import { requireSchemathesis, schemathesis } from "../support/realParts.js"
import { newHome, submit, testToken } from "../support/testServer.js"

const run = promisify(execFile)
const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-fuzz-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)
const record = () => ({ timestamp: Date.now() / 1000, temp_outside: 1 })
const rssMegabytes = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024
/** The heap and what it holds outside: the least of several is what survives collections. */
const heldMegabytes = async (url: string) => {
  const text = await (await fetch(`${url}/metrics`)).text()
  const bytes = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)![1])
  return (bytes("nodejs_heap_size_used_bytes") + bytes("nodejs_external_memory_bytes")) / 2 ** 20
}

const requests = Number(process.env.FUZZ_REQUESTS ?? 20_000)
const inFlight = 16

it.scopedLive(
  `${requests} hostile requests: each is answered as published, and neither memory nor latency grows`,
  () =>
    Effect.gen(function* () {
      const server = yield* serverProcess({ DATA_DIR: yield* directory, LOG_FORMAT: "json" })
      yield* Effect.promise(async () => {
        const problemOf = await answersAsPublished(server.url)
        const tenths: Array<{
          readonly rss: number
          readonly held: number
          readonly median: number
          readonly p99: number
        }> = []
        for (let tenth = 0; tenth < 10; tenth++) {
          const tookMs: Array<number> = []
          const held: Array<number> = []
          for (let batch = 0; batch < 10; batch++) {
            const seed = tenth * 10 + batch
            const all = fc.sample(hostileRequest, { numRuns: Math.ceil(requests / 100), seed })
            const next = all.values()
            const client = async () => {
              for (const request of next) {
                const startMs = performance.now()
                const answer = await sendHostile(server.url, request)
                tookMs.push(performance.now() - startMs)
                const problem = problemOf(request, answer)
                if (problem !== undefined)
                  assert.fail(`seed ${seed}: ${problem} to ${JSON.stringify(request).slice(0, 500)}`)
              }
            }
            await Promise.all(Array.from({ length: inFlight }, client))
            held.push(await heldMegabytes(server.url))
          }
          tookMs.sort((a, b) => a - b)
          const at = (share: number) => tookMs[Math.floor(tookMs.length * share)]!
          tenths.push({ rss: rssMegabytes(server.pid), held: Math.min(...held), median: at(0.5), p99: at(0.99) })
        }
        for (const { held, median, p99, rss } of tenths) {
          process.stdout.write(
            `fuzz: median ${median.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${rss.toFixed(0)} MB, ${held.toFixed(0)} MB of them held\n`
          )
        }
        // The first third warms up. Latency is compared loosely: the machine may have other things to do.
        const least = (from: number, to: number) => Math.min(...tenths.slice(from, to).map(({ held }) => held))
        const worst = (from: number, to: number, of: "rss" | "median") =>
          Math.max(...tenths.slice(from, to).map((tenth) => tenth[of]))
        // Between two collections of garbage it doubles.
        assert.isBelow(least(7, 10), least(3, 7) * 2.5)
        assert.isBelow(worst(0, 10, "rss"), 600)
        assert.isBelow(worst(7, 10, "median"), worst(0, 3, "median") * 5)
        assert.strictEqual((await submit(server.url, newHome([record()]))).status, 200)
        assert.notInclude(server.log(), "BUG:")
      })
    }),
  900_000
)

it.runIf(requireSchemathesis())(
  "every answer to what schemathesis makes of /openapi.json is documented there",
  () =>
    Effect.gen(function* () {
      const cwd = yield* directory
      const server = yield* serverProcess({ DATA_DIR: join(cwd, "data") })
      const checks = [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance"
      ]
      const bounds = ["--max-time", "40", "--workers", "2", "--seed", "1"]
      const options = ["-H", `Authorization: Bearer ${testToken}`, "--checks", checks.join(), ...bounds]
      const { stdout } = yield* Effect.promise(() =>
        run(schemathesis, ["run", `${server.url}/openapi.json`, ...options], { cwd }).catch((error) =>
          assert.fail(`${String(error.stdout).slice(-6_000)}${String(error.stderr).slice(-1_000)}`)
        )
      )
      assert.match(stdout, /Stateful \(in/)
      process.stdout.write(`schemathesis: ${/[\d,]+ generated/.exec(stdout)?.[0]} requests\n`)
      assert.notInclude(server.log(), "BUG:")
    }).pipe(Effect.scoped, Effect.runPromise),
  300_000
)
