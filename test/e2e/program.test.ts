import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import Database from "libsql"
import { version } from "../../programs/version.js"
import { Status } from "../../src/http/Api.js"
import { recentPayload } from "../support/payloads.js"
import { type Environment, mainFile, type RunningServer, runProgram, startServer } from "../support/program.js"
import { submit, testToken } from "../support/testServer.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-program-"))
const dataDir = join(directory, "data")
const adminToken = "an-operators-token-0123456789"
let server: RunningServer
beforeAll(async () => {
  server = await startServer({ DATA_DIR: dataDir, AUTH_TOKEN: "", ADMIN_TOKEN: adminToken, LOG_LEVEL: "debug" })
})
afterAll(async () => {
  await server.stop("SIGKILL")
  rmSync(directory, { recursive: true })
})

const keptToken = () => readFileSync(join(dataDir, "auth-token"), "utf8").trim()
const status = (environment: Environment, ...args: ReadonlyArray<string>) =>
  runProgram(["status", "--url", server.url, ...args], { DATA_DIR: join(directory, "none"), ...environment })

/** Exactly one line, which says `error: ` unless `@effect/cli` wrote it, and names the culprit once. */
const assertSentence = (stderr: string, name: string) => {
  assert.lengthOf(stderr.trim().split("\n"), 1, stderr)
  assert.lengthOf(stderr.split(name), 2, `${name} once in: ${stderr}`)
  assert.notMatch(stderr, /BUG|\n\s+at |\{"/)
}

describe("telemetry", () => {
  it("explains itself with examples, and without colours for a pipe", async () => {
    const expected: ReadonlyArray<readonly [ReadonlyArray<string>, ReadonlyArray<string>]> = [
      [["--version"], [version]],
      [[], ["  serve ", "  status ", "Example: telemetry train"]],
      [["--help"], ["Example: telemetry serve --host", "Example: telemetry status --json"]],
      [
        ["serve", "--help"],
        ["Example: telemetry serve --host", "(HOST)", "(PORT)", "(DATA_DIR)"]
      ],
      [
        ["status", "--help"],
        ["Example: telemetry status --json", "--url", "--token"]
      ],
      [
        ["models", "publish", "--help"],
        ["$ telemetry models publish (-f", "(-f, --file text)\n  model.pkl"]
      ],
      [
        ["--completions", "bash"],
        ["complete -F", "serve"]
      ]
    ]
    await Promise.all(
      expected.map(async ([args, words]) => {
        const { code, stderr, stdout } = await runProgram(args, { NO_COLOR: "" })
        assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
        for (const word of words) assert.include(stdout, word)
        assert.notMatch(stdout, /user-defined|This option can/)
        assert.notInclude(stdout, "\u001b")
      })
    )
  })

  it("uses colours on a terminal, but not with NO_COLOR", async () => {
    /** util-linux's `script` makes the terminal. */
    const onTerminal = async (environment: Environment) => {
      const { stdout } = await promisify(execFile)(
        "script",
        ["--quiet", "--return", "--command", `"${process.execPath}" "${mainFile}" status --help`, "/dev/null"],
        { env: { PATH: process.env.PATH ?? "", TERM: "xterm-256color", ...environment } }
      )
      assert.include(stdout, "OPTIONS")
      return stdout.includes("\u001b")
    }
    assert.deepStrictEqual([await onTerminal({}), await onTerminal({ NO_COLOR: "1" })], [true, false])
  })

  it("ends with 2 and one sentence on wrong usage or settings", async () => {
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, Environment, string]> = [
      [["status", "--nope"], {}, "--nope"],
      [["serve", "--port", "abc"], {}, "abc"],
      [["serve", "--port", "99999"], {}, "--port must be a whole number from 0 to 65535"],
      [["status", "--url", "127.0.0.1:8000"], {}, "--url must be a URL such as http"],
      [["export", "--installation", "no-uuid"], {}, "--installation must be the id of a home"],
      [["serve"], { PORT: "abc" }, "PORT"],
      [["serve"], { LOG_LEVEL: "loud" }, "LOG_LEVEL"],
      [["serve"], { AUTH_TOKEN: "change-me-to-something-secure" }, "AUTH_TOKEN"],
      [["serve"], { DATA_DIR: "/dev/null/data" }, "DATA_DIR"],
      [["status"], { DATA_DIR: "/dev/null/data" }, "--token"]
    ]
    await Promise.all(
      cases.map(async ([args, environment, name]) => {
        const own = { DATA_DIR: join(directory, "unused"), PORT: "0", ...environment }
        const { code, stdout, stderr } = await runProgram(args, own)
        assert.deepStrictEqual({ code, stdout }, { code: 2, stdout: "" }, `${name}: ${stderr}`)
        assertSentence(stderr, name)
      })
    )
  })

  it("ends with 1 and one sentence when the port is taken, or the store is of no use", async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve))
    const address = taken.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    const onTaken = await runProgram(["serve", "--port", String(port)], {
      DATA_DIR: join(directory, "taken"),
      AUTH_TOKEN: testToken
    })
    taken.close()
    assert.strictEqual(onTaken.code, 1)
    assert.match(onTaken.stderr, /^error: cannot listen on 127\.0\.0\.1 port \d+: .*EADDRINUSE.*--port\n$/)

    const foreign = mkdtempSync(join(directory, "foreign-"))
    const db = new Database(join(foreign, "telemetry.sqlite"))
    db.exec("CREATE TABLE recipe (name TEXT)")
    db.close()
    const onForeign = await runProgram(["serve"], { DATA_DIR: foreign, AUTH_TOKEN: testToken, PORT: "0" })
    assert.strictEqual(onForeign.code, 1)
    assert.match(onForeign.stderr, /^error: cannot open the embedded store .*: it belongs to another program;.*\n$/)
  })
})

describe("telemetry status", () => {
  it("shows the server's status to people and to machines, and nothing else on stdout", async () => {
    const headers = { authorization: `Bearer ${keptToken()}` }
    assert.strictEqual((await submit(server.url, recentPayload("nested3"), headers)).status, 200)
    const people = await status({ ADMIN_TOKEN: adminToken })
    assert.deepInclude(people, { code: 0, stderr: "" })
    assert.match(people.stdout, /^Server +online at http/m)
    assert.match(people.stdout, /^Installations +1 active in the last 30 days, 1 in all$/m)
    assert.match(people.stdout, /^Last submission +\d{4}-\d\d-\d\dT.*ago\)$/m)
    assert.match(people.stdout, /^Stored +3 records, 405 samples$/m)
    assert.match(people.stdout, /^Store +embedded, .*, accepting submissions$/m)
    assert.match(people.stdout, /^Models +none published$/m)
    assert.lengthOf(people.stdout.trimEnd().split("\n"), 7)

    const machines = await status({ ADMIN_TOKEN: adminToken, LOG_LEVEL: "debug" }, "--json")
    const decode = Schema.decodeUnknownSync(Schema.parseJson(Status), { onExcessProperty: "error" })
    const { models, store, ...head } = decode(machines.stdout)
    assert.deepInclude(head, { status: "online", active_installations_30d: 1, version })
    assert.deepInclude(store, { kind: "embedded", ready: true, installations: 1, records: 3, samples: 405 })
    assert.deepStrictEqual(models, [])
  })

  it("finds a token in --token, ADMIN_TOKEN, AUTH_TOKEN or DATA_DIR", async () => {
    const wrong = "some-other-token-0123456"
    const codeOf = async (environment: Environment, ...args: ReadonlyArray<string>) =>
      (await status(environment, ...args)).code
    const codes = await Promise.all([
      codeOf({ ADMIN_TOKEN: wrong }, "--token", adminToken),
      codeOf({ AUTH_TOKEN: wrong, ADMIN_TOKEN: adminToken }),
      codeOf({ AUTH_TOKEN: adminToken, DATA_DIR: dataDir }),
      // Found, but of a logger, which the server does not let in when there is an ADMIN_TOKEN.
      codeOf({ DATA_DIR: dataDir })
    ])
    assert.deepStrictEqual(codes, [0, 0, 0, 1])

    const own = join(directory, "own")
    const withoutTokens = await startServer({ DATA_DIR: own, AUTH_TOKEN: "" })
    try {
      const { code, stderr } = await runProgram(["status", "--url", withoutTokens.url], { DATA_DIR: own })
      assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
    } finally {
      await withoutTokens.stop("SIGKILL")
    }
  })

  it("ends with 4 when no server answers, with 1 when the token is refused", async () => {
    const nobody = await runProgram(["status", "--url", "http://127.0.0.1:9"], { AUTH_TOKEN: testToken })
    assert.deepInclude(nobody, { code: 4, stdout: "" })
    assert.strictEqual(nobody.stderr, "error: no server answers at http://127.0.0.1:9; is it running? See --url\n")

    const rude = createServer((socket) => socket.once("data", () => socket.destroy()))
    await new Promise<void>((resolve) => rude.listen(0, "127.0.0.1", resolve))
    const address = rude.address()
    const rudeUrl = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
    const cut = await runProgram(["status", "--url", rudeUrl], { AUTH_TOKEN: testToken })
    rude.close()
    assert.deepStrictEqual(
      [cut.code, cut.stderr],
      [4, `error: ${rudeUrl} hung up instead of answering; see the server's log\n`]
    )
    const refused = await status({}, "--token", "some-other-token-0123456")
    assert.deepInclude(refused, { code: 1, stdout: "" })
    assert.match(refused.stderr, /^error: .* refused the token: .*--token\n$/)
  })

  it("ends with 4 and shows why when the server cannot store", async () => {
    const full = await startServer({ DATA_DIR: join(directory, "full"), MIN_FREE_DISK_BYTES: String(2 ** 52) })
    try {
      assert.strictEqual((await submit(full.url, recentPayload("flat3"))).status, 503)
      const { code, stderr, stdout } = await runProgram(["status", "--url", full.url], { AUTH_TOKEN: testToken })
      assert.strictEqual(code, 4)
      assert.match(stdout, /^Store +embedded, .*, NOT accepting submissions: .*nearly full/m)
      assert.match(stderr, /^error: the server does not accept submissions: .*nearly full.*\n$/)
    } finally {
      await full.stop("SIGKILL")
    }
  })
})
