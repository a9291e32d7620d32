import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createGzip } from "node:zlib"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import manifest from "../../package.json" with { type: "json" }
import { version } from "../../programs/version.js"
import { Status } from "../../src/http/Api.js"
import { recentPayload } from "../support/payloads.js"
import { type RunningServer, runProgram, startServer } from "../support/program.js"
import { submit, testToken } from "../support/testServer.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-program-"))
const dataDir = join(directory, "data")
let server: RunningServer
beforeAll(async () => {
  server = await startServer({ DATA_DIR: dataDir })
})
afterAll(async () => {
  await server.stop("SIGKILL")
  rmSync(directory, { recursive: true })
})

const oneLine = (text: string) => assert.lengthOf(text.trimEnd().split("\n"), 1, text)

describe("telemetry", () => {
  it("has the version of its package", async () => {
    assert.strictEqual(version, manifest.version)
    assert.strictEqual((await runProgram(["--version"])).stdout.trim(), version)
  })

  it("explains itself, with examples and without colours for a pipe", async () => {
    for (const [args, expected] of [
      [["--help"], "status"],
      [["serve", "--help"], "Example: telemetry serve"],
      [["status", "--help"], "Example: telemetry status --json"],
      [["--completions", "bash"], "complete"]
    ] as const) {
      const { code, stdout, stderr } = await runProgram(args)
      assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
      assert.include(stdout, expected)
      assert.notInclude(stdout, "\u001b")
    }
  })

  it("ends with 2 and one sentence on wrong usage or settings", async () => {
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, Record<string, string>, string]> = [
      [["status", "--nope"], {}, "--nope"],
      [["serve"], { PORT: "abc" }, "PORT"],
      [["serve"], { RETENTION_DAYS: "0" }, "RETENTION_DAYS"],
      [["serve"], { LOG_LEVEL: "loud" }, "LOG_LEVEL"],
      [["serve"], { AUTH_TOKEN: "change-me-to-something-secure" }, "AUTH_TOKEN"],
      [["serve"], { AUTH_TOKEN: "too-short" }, "AUTH_TOKEN"],
      [["serve"], { DATA_DIR: "/dev/null/data" }, "DATA_DIR"]
    ]
    for (const [args, environment, name] of cases) {
      const { code, stdout, stderr } = await runProgram(args, { DATA_DIR: join(directory, "unused"), ...environment })
      assert.deepStrictEqual({ code, stdout }, { code: 2, stdout: "" }, name)
      assert.include(stderr, name)
      oneLine(stderr)
    }
  })

  it("ends with 1 and one sentence when the port is taken", async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve))
    const address = taken.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    const { code, stderr } = await runProgram(["serve", "--port", String(port)], {
      DATA_DIR: join(directory, "taken"),
      AUTH_TOKEN: testToken
    })
    taken.close()
    assert.strictEqual(code, 1)
    assert.match(stderr, /^error: cannot listen on 127\.0\.0\.1 port \d+: .*EADDRINUSE.*--port\n$/)
  })

  it("shows the server's status to people and to machines", async () => {
    const payload = recentPayload("nested3")
    assert.strictEqual((await submit(server.url, payload)).status, 200)
    const people = await runProgram(["status", "--url", server.url], { AUTH_TOKEN: testToken })
    assert.deepInclude(people, { code: 0, stderr: "" })
    assert.match(people.stdout, /^Server +online at http/m)
    assert.match(people.stdout, /^Installations +1 active in the last 30 days, 1 in all$/m)
    assert.match(people.stdout, /^Last submission +\d{4}-\d\d-\d\dT.*ago\)$/m)
    assert.match(people.stdout, /^Stored +3 records, 405 samples$/m)
    assert.match(people.stdout, /^Store +embedded, .*, accepting submissions$/m)
    assert.match(people.stdout, /^Models +none yet$/m)

    const machines = await runProgram(["status", "--url", server.url, "--json"], { AUTH_TOKEN: testToken })
    const status = Schema.decodeUnknownSync(Status)(JSON.parse(machines.stdout))
    assert.deepInclude(status, { status: "online", active_installations_30d: 1, version })
  })

  it("ends with 4 when no server answers, with 1 when the token is refused", async () => {
    const nobody = await runProgram(["status", "--url", "http://127.0.0.1:9"], { AUTH_TOKEN: testToken })
    assert.strictEqual(nobody.code, 4)
    assert.strictEqual(nobody.stderr, "error: no server answers at http://127.0.0.1:9; is it running? See --url\n")
    const refused = await runProgram(["status", "--url", server.url, "--token", "some-other-token-0123456"])
    assert.strictEqual(refused.code, 1)
    assert.match(refused.stderr, /^error: .* refused the token: .*--token\n$/)
  })
})

describe("telemetry serve", () => {
  const residentMb = (what: "VmRSS" | "VmHWM") => {
    const status = readFileSync(`/proc/${server.pid}/status`, "utf8")
    return Number(new RegExp(`${what}:\\s+(\\d+) kB`).exec(status)![1]) / 1024
  }

  it("refuses gzip bombs of 1 GB with flat memory (within 150 MB)", async () => {
    const bomb = await new Promise<Buffer>((resolve) => {
      const gzip = createGzip({ level: 9 })
      const parts: Array<Buffer> = []
      gzip.on("data", (part: Buffer) => parts.push(part)).on("end", () => resolve(Buffer.concat(parts)))
      const zeros = Buffer.alloc(1024 * 1024)
      let left = 1024
      const fill = () => {
        while (left-- > 0) if (!gzip.write(zeros)) return void gzip.once("drain", fill)
        gzip.end()
      }
      fill()
    })
    const before = residentMb("VmRSS")
    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all(
        Array.from({ length: 4 }, () => submit(server.url, bomb, { "content-encoding": "gzip" }))
      )
      assert.deepStrictEqual(new Set(answers.map(({ status }) => status)), new Set([413]))
    }
    assert.isBelow(residentMb("VmHWM") - before, 150)
  })

  it("stops on SIGTERM and SIGINT with 0, having answered and stored what was in flight", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const own = { DATA_DIR: join(directory, signal) }
      const first = await startServer(own)
      const payload = recentPayload("flat500")
      let answered = 0
      const clients = Array.from({ length: 4 }, async (_, client) => {
        for (let batch = 0; ; batch++) {
          const installation = `3f2b8c1e-9a47-4d0e-8b65-${String(client * 1000 + batch).padStart(12, "0")}`
          const response = await submit(first.url, { ...payload, installation_id: installation }).catch(() => undefined)
          if (response?.status === 200) answered++
          else return response?.status
        }
      })
      await new Promise((resolve) => setTimeout(resolve, 700))
      assert.strictEqual(await first.stop(signal), 0)
      // A refused connection, or 503 to who came a moment too late on an open one; never a broken answer.
      for (const last of await Promise.all(clients)) assert.include([undefined, 503], last)

      const second = await startServer(own)
      const status = await runProgram(["status", "--json", "--url", second.url], { AUTH_TOKEN: testToken })
      assert.isAtLeast(JSON.parse(status.stdout).store.installations, answered)
      assert.isAbove(answered, 0)
      assert.strictEqual(await second.stop("SIGTERM"), 0)
    }
  })
})
