import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { layerStoreOf, runProgram } from "../support/program.js"

const dataDir = mkdtempSync(join(tmpdir(), "telemetry-backup-"))
afterAll(() => rmSync(dataDir, { recursive: true }))

it("a directory that cannot be read ends a backup with a sentence, and leaves nothing behind", async () => {
  await Effect.runPromise(Effect.scoped(Layer.build(layerStoreOf(dataDir))))
  const file = join(dataDir, "file")
  writeFileSync(file, "")
  const before = readdirSync(dataDir)
  const output = join(dataDir, "telemetry.tar")
  const unreadable = async (settings: Readonly<Record<string, string>>) => {
    const { code, stderr } = await runProgram(["backup", "--output", output], { DATA_DIR: dataDir, ...settings })
    assert.strictEqual(code, 1, stderr)
    assert.match(stderr, /^error: cannot look for .*: ENOTDIR.*; run it as the user that runs serve, and check .*\n$/)
  }
  await unreadable({ MODEL_DIR: join(file, "models") })
  await unreadable({ DATA_DIR: join(file, "data") })
  assert.deepStrictEqual(readdirSync(dataDir), before)
})
