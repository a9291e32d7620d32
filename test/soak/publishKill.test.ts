import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { NodeContext } from "@effect/platform-node"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Either, Option, Redacted } from "effect"
import { openModel } from "../../src/artifact/Envelope.js"
import { publish } from "../../src/artifact/Publish.js"
import { makeModelKeys } from "../../src/ModelKeys.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-publish-"))
afterAll(() => rmSync(directory, { recursive: true }))
const made = makeModelKeys()
const keys = { encryption: Redacted.make(made.encryption), signing: Option.none() }
const contentOf = (file: string) =>
  Either.getOrThrow(openModel(readFileSync(file, "utf8"), keys.encryption)).pickle.toString()

describe("publishing under kill -9", () => {
  const kills = 16
  it("leaves a whole version, the last said to be published or the one after, and no version twice", async () => {
    const loop = fileURLToPath(new URL("../support/publishLoop.mjs", import.meta.url))
    let said = 0
    let published = 0
    for (let kill = 0; kill < kills; kill++) {
      const child = spawn(process.execPath, [loop, directory, made.encryption, String(said + 1)], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      const exited = once(child, "exit")
      const closed = once(child, "close")
      let output = ""
      child.stdout.on("data", (text) => {
        output += text
      })
      await once(child.stdout, "data")
      // At another moment of a publication each time: one takes some milliseconds.
      const untilMs = performance.now() + kill * 2 + Math.random()
      while (performance.now() < untilMs) await new Promise((resolve) => setImmediate(resolve))
      child.kill("SIGKILL")
      assert.deepStrictEqual(await exited, [null, "SIGKILL"])
      await closed
      const lines = output.split("\n").slice(0, -1)
      published += lines.length
      said = Number(lines.at(-1)!.split(" ")[0])

      const target = readlinkSync(join(directory, "AERO_SLM.enc"))
      const file = join(directory, target)
      const manifest = JSON.parse(readFileSync(join(dirname(file), "manifest.json"), "utf8"))
      assert.strictEqual(createHash("sha256").update(readFileSync(file)).digest("hex"), manifest.sha256)
      const number = manifest.metadata.number
      assert.include([said, said + 1], number)
      assert.strictEqual(contentOf(file), Buffer.alloc(20_000, `model ${number} `).toString())
      const versions = readdirSync(join(directory, "versions", "AERO_SLM.enc")).filter((name) => !name.startsWith("."))
      assert.strictEqual(new Set(versions.map((name) => name.split("-")[1])).size, versions.length)
      assert.isAtMost(versions.length, 4)
    }
    assert.isAtLeast(published, kills / 2, "the kills came too early to prove anything")
    await Effect.runPromise(
      publish(
        { name: "AERO SLM", pickle: Buffer.from("at last"), gate: "passed", metadata: {}, metrics: null },
        { directory, keys, keep: 3 }
      ).pipe(Effect.provide(NodeContext.layer))
    )
    assert.strictEqual(contentOf(join(directory, "AERO_SLM.enc")), "at last")
    assert.lengthOf(readdirSync(join(directory, "versions", "AERO_SLM.enc")), 3)
    assert.sameMembers(readdirSync(directory), [".publish.lock", "AERO_SLM.enc", "versions"])
  }, 60_000)
})
