import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fakeDatabase } from "../support/fakeDatabase.js"
import { runProgram } from "../support/program.js"
import { accepted, captureLogs, layerTestServer, newHome, testToken } from "../support/testServer.js"

const root = mkdtempSync(join(tmpdir(), "telemetry-settings-"))
afterAll(() => rmSync(root, { recursive: true }))
const secretFile = join(root, "secret")
writeFileSync(secretFile, "from-a-hidden-file\n")

const basic = (credentials: string) => `Basic ${Buffer.from(credentials).toString("base64")}`

describe("credentials for VictoriaMetrics", () => {
  const cases: ReadonlyArray<readonly [string, Readonly<Record<string, string>>, string | undefined]> = [
    ["none", {}, undefined],
    ["VM_USERNAME and VM_PASSWORD", { VM_USERNAME: "me", VM_PASSWORD: "well-hidden" }, basic("me:well-hidden")],
    ["VM_PASSWORD_FILE", { VM_USERNAME: "me", VM_PASSWORD_FILE: secretFile }, basic("me:from-a-hidden-file")],
    ["VM_BEARER_TOKEN", { VM_BEARER_TOKEN: "well-hidden" }, "Bearer well-hidden"],
    ["VM_BEARER_TOKEN_FILE", { VM_BEARER_TOKEN_FILE: secretFile }, "Bearer from-a-hidden-file"]
  ]
  for (const [name, settings, authorization] of cases) {
    it.scopedLive(`${name}: are sent with every write and are in no log`, () =>
      Effect.gen(function* () {
        const fake = yield* fakeDatabase(Date.now)
        const logs = captureLogs()
        yield* Effect.gen(function* () {
          yield* accepted(newHome([{ timestamp: Date.now() / 1000, value: 1 }]))
          while (fake.attempts.length === 0) yield* Effect.sleep("5 millis")
        }).pipe(Effect.provide(layerTestServer({ VM_WRITE_URL: fake.url, ...settings }, logs.layer)))
        assert.strictEqual(fake.attempts[0]!.authorization, authorization)
        assert.notInclude(logs.lines.join("\n"), "hidden")
      })
    )
  }
})

describe("wrong settings of VictoriaMetrics", () => {
  const cases: ReadonlyArray<readonly [Readonly<Record<string, string>>, RegExp]> = [
    [{ VM_WRITE_URL: "vm:8428" }, /^error: VM_WRITE_URL must begin with http/],
    [{ VM_WRITE_URL: "http://vm/insert/0" }, /^error: VM_QUERY_URL is needed/],
    [{ VM_WRITE_URL: "http://vm", VM_USERNAME: "me" }, /^error: VM_USERNAME and VM_PASSWORD go together/],
    [
      { VM_WRITE_URL: "http://vm", VM_USERNAME: "me", VM_PASSWORD: "x", VM_BEARER_TOKEN: "y" },
      /^error: VM_BEARER_TOKEN and VM_USERNAME or VM_PASSWORD are both set/
    ],
    [{ VM_WRITE_URL: "http://vm", VM_PASSWORD_FILE: "/nowhere", VM_USERNAME: "me" }, /^error: VM_PASSWORD_FILE cannot/],
    [{ VM_WRITE_URL: "http://vm", JOURNAL_MAX_BYTES: "lots" }, /JOURNAL_MAX_BYTES/]
  ]
  for (const [settings, sentence] of cases) {
    it(`${Object.keys(settings).join(", ")}: exit code 2 and one sentence`, async () => {
      const { code, stderr } = await runProgram(["serve"], {
        DATA_DIR: root,
        PORT: "0",
        AUTH_TOKEN: testToken,
        ...settings
      })
      assert.strictEqual(code, 2)
      assert.match(stderr, sentence)
      assert.lengthOf(stderr.trim().split("\n"), 1)
    })
  }
})
