import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { verifyArchive } from "../../src/store/Archive.js"
import { runProgram, serverProcess } from "../support/program.js"
import { hasVictoriaMetrics } from "../support/realParts.js"
import { newHome, submit } from "../support/testServer.js"
import { runningDatabase } from "../support/victoriaMetrics.js"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-backup-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)
const run = (args: ReadonlyArray<string>, dataDir: string) =>
  Effect.promise(() => runProgram(args, { DATA_DIR: dataDir }))
const home = (n: number) => newHome([{ timestamp: Date.now() / 1000 - n, temp_outside: n % 30 }])

it.scopedLive("a backup under load, destruction and a restore: nothing acknowledged before it is missing", () =>
  Effect.gen(function* () {
    const root = yield* directory
    const dataDir = join(root, "data")
    const file = join(root, "telemetry.tar")
    const server = yield* serverProcess({ DATA_DIR: dataDir })
    const acknowledged: Array<ReturnType<typeof home>> = []
    let isRunning = true
    const load = Effect.promise(async () => {
      for (let n = 0; isRunning; n++) {
        const body = home(n)
        if ((await submit(server.url, body)).status === 200) acknowledged.push(body)
      }
    })
    const models = join(dataDir, "models")
    mkdirSync(join(models, "versions"), { recursive: true })
    writeFileSync(join(models, "versions", "model.enc"), "a model")
    symlinkSync("versions/model.enc", join(models, "AERO_SLM.enc"))

    const [before] = yield* Effect.all(
      [
        Effect.gen(function* () {
          while (acknowledged.length < 50) yield* Effect.sleep("20 millis")
          const before = [...acknowledged]
          const { code, stderr } = yield* run(["backup", "--output", file], dataDir)
          assert.deepStrictEqual([code, stderr], [0, ""])
          isRunning = false
          return before
        }),
        load
      ],
      { concurrency: "unbounded" }
    )
    assert.isAbove(acknowledged.length, before.length)
    const again = yield* run(["backup", "--output", file], dataDir)
    assert.strictEqual(again.code, 2)
    assert.include(again.stderr, "--yes")

    const beside = yield* run(["restore", "--input", file, "--yes"], dataDir)
    assert.strictEqual(beside.code, 1)
    assert.include(beside.stderr, "stop it first")

    yield* Effect.promise(() => server.stop("SIGKILL"))
    const kept = yield* run(["restore", "--input", file], dataDir)
    assert.strictEqual(kept.code, 2)
    assert.include(kept.stderr, "would be replaced")
    rmSync(dataDir, { recursive: true })

    const restored = yield* run(["restore", "--input", file], dataDir)
    assert.deepStrictEqual([restored.code, restored.stderr], [0, ""])
    assert.strictEqual(readlinkSync(join(models, "AERO_SLM.enc")), "versions/model.enc")
    assert.strictEqual(readFileSync(join(models, "AERO_SLM.enc"), "utf8"), "a model")
    assert.deepStrictEqual(
      readdirSync(dataDir).filter((name) => name.startsWith(".")),
      []
    )
    const reborn = yield* serverProcess({ DATA_DIR: dataDir })
    for (const body of before) {
      const response = yield* Effect.promise(() => submit(reborn.url, body))
      assert.include(yield* Effect.promise(() => response.text()), '"duplicate":true')
    }

    // Over the kill's leftovers, log included, with --yes.
    yield* Effect.promise(() => reborn.stop("SIGKILL"))
    assert.strictEqual((yield* run(["restore", "--input", file, "--yes"], dataDir)).code, 0)
    assert.strictEqual((yield* run(["healthcheck", "--url", reborn.url], dataDir)).code, 4)
    const third = yield* serverProcess({ DATA_DIR: dataDir })
    assert.strictEqual((yield* run(["healthcheck", "--ready", "--url", third.url], dataDir)).code, 0)
    assert.notInclude(third.log(), "damaged")

    const bytes = readFileSync(file)
    const damaged = join(root, "damaged.tar")
    for (let i = 0; i < 60; i++) {
      const position = Math.floor((i * (bytes.length - 1)) / 59)
      const flipped = Buffer.from(bytes)
      flipped[position]! ^= 1 << (i % 8)
      writeFileSync(damaged, flipped)
      assert.strictEqual((yield* Effect.either(verifyArchive(damaged)))._tag, "Left", `bit of byte ${position}`)
    }
    writeFileSync(damaged, bytes.subarray(0, bytes.length - 600))
    const cut = yield* run(["restore", "--input", damaged, "--yes"], dataDir)
    assert.strictEqual(cut.code, 1)
    assert.include(cut.stderr, "cut off")
  })
)

it.scopedLive.skipIf(!hasVictoriaMetrics)(
  "a journal: what the database had not taken, or could still lose, comes to it after the restore",
  () =>
    Effect.gen(function* () {
      const root = yield* directory
      const dataDir = join(root, "data")
      const file = join(root, "telemetry.tar")
      const database = yield* runningDatabase()
      const environment = { DATA_DIR: dataDir, VM_WRITE_URL: database.url, VM_SETTLE_SECONDS: "60" }
      const server = yield* serverProcess(environment)
      const acknowledged: Array<string> = []
      let isRunning = true
      const load = Effect.promise(async () => {
        for (let n = 0; isRunning; n++) {
          const body = home(n)
          if ((await submit(server.url, body)).status === 200) acknowledged.push(body.installation_id)
        }
      })
      const acknowledge = (count: number) =>
        Effect.gen(function* () {
          while (acknowledged.length < count) yield* Effect.sleep("20 millis")
        })
      const [before] = yield* Effect.all(
        [
          Effect.gen(function* () {
            yield* acknowledge(50)
            // With it goes what it had in memory; what comes now waits.
            yield* Effect.promise(() => database.stop("SIGKILL"))
            yield* acknowledge(acknowledged.length + 50)
            const before = [...acknowledged]
            assert.strictEqual((yield* run(["backup", "--output", file], dataDir)).code, 0)
            isRunning = false
            return before
          }),
          load
        ],
        { concurrency: "unbounded" }
      )
      assert.isAbove(acknowledged.length, before.length)
      yield* Effect.promise(() => server.stop("SIGKILL"))
      rmSync(dataDir, { recursive: true })

      const flipped = readFileSync(file)
      flipped[Math.floor(flipped.length / 2)]! ^= 4
      writeFileSync(`${file}.flipped`, flipped)
      const refused = yield* run(["restore", "--input", `${file}.flipped`], dataDir)
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, /damaged|digest/)
      assert.isFalse(existsSync(dataDir))

      assert.strictEqual((yield* run(["restore", "--input", file], dataDir)).code, 0)
      yield* Effect.promise(() => database.start())
      const reborn = yield* serverProcess(environment)
      const isDrained = Effect.promise(async () => {
        const response = await fetch(`${reborn.url}/ready`)
        return (await response.text()).includes('"waiting_blocks":0')
      })
      yield* Effect.repeat(isDrained, { until: (done) => done, schedule: Schedule.spaced("100 millis") })
      const samples = yield* Effect.promise(() => database.samples("heatpump_metrics_temp_outside"))
      const arrived = new Set([...samples.keys()].map((key) => /installation_id=([^,}]+)/.exec(key)![1]!))
      assert.deepStrictEqual(
        before.filter((installationId) => !arrived.has(installationId)),
        []
      )
    })
)

it.scopedLive("homes erased since the backup stay on the list", () =>
  Effect.gen(function* () {
    const root = yield* directory
    const dataDir = join(root, "data")
    const file = join(root, "telemetry.tar")
    const list = join(dataDir, "erasures.txt")
    const server = yield* serverProcess({ DATA_DIR: dataDir })
    yield* Effect.promise(() => server.stop("SIGTERM"))
    const salt = `salt ${"5".repeat(64)}\n`
    const line = (digit: string) => `${digit.repeat(64)} 2026-11-25T12:00:00.000Z\n`
    writeFileSync(list, salt + line("a"))
    assert.strictEqual((yield* run(["backup", "--output", file], dataDir)).code, 0)
    writeFileSync(list, salt + line("a") + line("b"))
    assert.strictEqual((yield* run(["restore", "--input", file, "--yes"], dataDir)).code, 0)
    assert.strictEqual(readFileSync(list, "utf8"), salt + line("a") + line("b"))
    writeFileSync(list, `salt ${"6".repeat(64)}\n`)
    const refused = yield* run(["restore", "--input", file, "--yes"], dataDir)
    assert.strictEqual(refused.code, 1)
    assert.include(refused.stderr, "would come back")
  })
)
