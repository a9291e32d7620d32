import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { writeOutput } from "../../src/artifact/ModelOutput.js"
import { publish, rollback } from "../../src/artifact/Publish.js"
import { affectedModels, trainedHomes } from "../../src/artifact/TrainedHomes.js"
import { InstallationId } from "../../src/domain/InstallationId.js"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-homes-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)
const ids = ["1", "2", "3"].map((n) => InstallationId.make(`3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e${n}`))
const keys = {
  encryption: Redacted.make(Buffer.alloc(32, 7).toString("base64url").padEnd(44, "=")),
  signing: Option.none()
}

it.scopedLive(
  "a home's models are found, published or not, and neither its id nor anything guessable is in a file",
  () =>
    Effect.gen(function* () {
      const modelDir = yield* directory
      const options = { directory: modelDir, keys, keep: 5 }
      const version = (n: number, homes: ReadonlyArray<InstallationId> | undefined) => {
        const pickle = Buffer.from(`model ${n}`)
        const kept = homes === undefined ? null : trainedHomes("AERO_SLM", pickle, homes)
        return publish(
          { name: "AERO SLM", pickle, gate: "passed", metadata: null, metrics: null, homes: kept },
          options
        ).pipe(Effect.zipLeft(Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 2)))))
      }
      const first = yield* version(1, ids.slice(0, 2))
      const second = yield* version(2, ids.slice(1, 3))
      const third = yield* version(3, undefined)
      yield* rollback(modelDir, "AERO_SLM", Option.some(second.version))
      mkdirSync(join(modelDir, "trained", "NAVI"), { recursive: true })
      const pickle = Buffer.from("unpublished")
      yield* writeOutput(join(modelDir, "trained", "NAVI"), [
        { name: "model_homes.json", content: JSON.stringify(trainedHomes("NAVI", pickle, ids)), isPrivate: true },
        { name: "model.pkl", content: pickle }
      ])
      writeFileSync(join(modelDir, "OLD.pkl"), "by hand")

      const found = (id: InstallationId) =>
        Effect.map(affectedModels(modelDir, id), ({ models }) =>
          models.map(({ isCurrent, name, version }) => [name, version, isCurrent])
        )
      const unpublished = ["NAVI", null, false]
      assert.deepStrictEqual(yield* found(ids[0]!), [unpublished, ["AERO_SLM", first.version, false]])
      assert.deepStrictEqual(yield* found(ids[1]!), [
        unpublished,
        ["AERO_SLM", first.version, false],
        ["AERO_SLM", second.version, true]
      ])
      assert.deepStrictEqual(yield* found(InstallationId.make("3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4ef")), [])
      assert.deepStrictEqual((yield* affectedModels(modelDir, ids[0]!)).unknown, [
        "OLD.pkl",
        `versions/AERO_SLM.enc/${third.version}/model.enc`
      ])
      assert.deepStrictEqual(yield* affectedModels(join(modelDir, "none"), ids[0]!), { models: [], unknown: [] })

      for (const file of readdirSync(modelDir, { recursive: true, encoding: "utf8" })) {
        const { mode, size } = statSync(join(modelDir, file))
        if (file.endsWith("homes.json")) assert.strictEqual(mode & 0o777, 0o600)
        if (size === 0 || statSync(join(modelDir, file)).isDirectory()) continue
        const text = readFileSync(join(modelDir, file), "latin1")
        for (const id of ids) {
          assert.notInclude(text, id)
          assert.notInclude(text, createHash("sha256").update(id).digest("hex"))
        }
      }
    }).pipe(Effect.provide(NodeContext.layer))
)
