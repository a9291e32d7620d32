import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { tryLock } from "../../src/artifact/ModelLock.js"
import { runProgram } from "../support/program.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-train-all-"))
afterAll(() => rmSync(directory, { recursive: true }))

it("a failed model does not stop the others, and the result of all is kept; one run at a time", async () => {
  const modelDir = join(directory, "models")
  const environment = { DATA_DIR: join(directory, "none"), MODEL_DIR: modelDir, TARGET_MODELS: "AERO SLM, OTHER" }
  const { code, stderr, stdout } = await runProgram(["train", "--all"], environment)
  assert.strictEqual(code, 1, stderr)
  assert.match(stdout, /^AERO_SLM: failed, .*there is no such file\nOTHER: failed, .*there is no such file\n$/)
  assert.include(stderr, "AERO_SLM, OTHER could not be trained")
  const kept = JSON.parse(readFileSync(join(modelDir, "training.json"), "utf8"))
  assert.isNumber(kept.finished)
  assert.deepStrictEqual(
    kept.models.map(({ model, result }: { model: string; result: string }) => [model, result]),
    [
      ["AERO_SLM", "failed"],
      ["OTHER", "failed"]
    ]
  )
  mkdirSync(modelDir, { recursive: true })
  await Effect.gen(function* () {
    yield* tryLock(join(modelDir, ".training.lock"))
    const second = yield* Effect.promise(() => runProgram(["train", "--all"], environment))
    assert.strictEqual(second.code, 1)
    assert.include(second.stderr, "another process")
  }).pipe(Effect.scoped, Effect.runPromise)
  const wrong = await runProgram(["train", "--all", "--every-day-at", "25:00"], environment)
  assert.strictEqual(wrong.code, 2)
})
