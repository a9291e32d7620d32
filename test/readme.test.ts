import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { runProgram, startServer } from "./support/program.js"
import { settingsTable } from "./support/settingsTable.js"

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8")
const commands = [...readme.matchAll(/```bash\n([\s\S]*?)```/g)].map(([, code]) => code!.trim())
const run = promisify(execFile)

describe("README.md", () => {
  it("opens with the two commands", () => {
    assert.strictEqual(commands[0], "npm ci && npm start")
    assert.include(commands, "npm ci && npm test")
  })

  it("lists every setting with its default and meaning", () => {
    assert.include(readme, settingsTable())
  })

  it("shows an upload that works as written, and the status after it", async () => {
    const directory = mkdtempSync(join(tmpdir(), "telemetry-readme-"))
    const server = await startServer({ DATA_DIR: join(directory, "data"), AUTH_TOKEN: "" })
    try {
      const upload = commands.find((command) => command.startsWith("curl"))!
      const there = upload.replace("http://127.0.0.1:8000", server.url)
      assert.notStrictEqual(there, upload)
      const { stdout } = await run("bash", ["-c", there], { cwd: directory })
      assert.deepInclude(JSON.parse(stdout), { status: "success", processed: 1, rejected: 0, fields_dropped: 0 })

      const status = await runProgram(["status", "--url", server.url], { DATA_DIR: join(directory, "data") })
      assert.strictEqual(status.code, 0)
      const labels = (text: string) => text.match(/^[A-Z][a-z ]+(?= {2})/gm)
      const shown = readme.slice(readme.indexOf("\nServer "))
      assert.deepStrictEqual(labels(status.stdout), labels(shown.slice(0, shown.indexOf("```"))))
      assert.include(status.stdout, "1 records, 3 samples")
    } finally {
      await server.stop("SIGTERM")
      rmSync(directory, { recursive: true })
    }
  })
})
