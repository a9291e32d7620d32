import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import manifest from "../../package.json" with { type: "json" }
import { version } from "../../programs/version.js"

it("the program has the version of its package", () => {
  assert.strictEqual(version, manifest.version)
})

it("what npx links is there before the first build, and says what to do", () => {
  const clone = mkdtempSync(join(tmpdir(), "telemetry-unbuilt-"))
  cpSync(manifest.bin.telemetry, join(clone, manifest.bin.telemetry))
  const { status, stderr } = spawnSync(join(clone, manifest.bin.telemetry), { encoding: "utf8" })
  rmSync(clone, { recursive: true })
  assert.deepStrictEqual([status, stderr.includes("npm run build")], [1, true])
})
