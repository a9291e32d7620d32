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

it("a backup says its size, a restore where it went and what comes next; consent that is missing is wrong usage", async () => {
  const output = join(dataDir, "consent.tar")
  const target = join(dataDir, "restored")
  const backUp = () => runProgram(["backup", "--output", output, "--data-dir", dataDir])
  const restore = () => runProgram(["restore", "--input", output, "--data-dir", target])
  await Effect.runPromise(Effect.scoped(Layer.build(layerStoreOf(dataDir))))
  assert.match((await backUp()).stdout, /consent\.tar: \d files, [\d.]+ kB\n$/)
  const again = await backUp()
  assert.deepStrictEqual(
    [again.code, again.stderr],
    [2, `error: ${output} is there already; overwrite it with --yes\n`]
  )
  const { stdout } = await restore()
  assert.match(
    stdout,
    /^restored \d files of .* to .*restored\nNow start the server on it: telemetry serve --data-dir .*\n$/
  )
  const refused = await restore()
  assert.strictEqual(refused.code, 2, refused.stderr)
  assert.include(refused.stderr, "would be replaced; if that is meant, add --yes")
})
