import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { optionsOfAll } from "../../programs/trainOptions.js"
import { tryLock } from "../../src/artifact/ModelLock.js"
import { makeModelKeys } from "../../src/ModelKeys.js"
import { mainFile, runProgram } from "../support/program.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-train-all-"))
afterAll(() => rmSync(directory, { recursive: true }))

it("a failed model does not stop the others, and the result of all is kept; one run at a time", async () => {
  const modelDir = join(directory, "models")
  const dataDir = join(directory, "no-store")
  mkdirSync(dataDir)
  writeFileSync(join(dataDir, "telemetry.sqlite"), "")
  const environment = { DATA_DIR: dataDir, MODEL_DIR: modelDir, TARGET_MODELS: "AERO SLM, OTHER" }
  const { code, stderr, stdout } = await runProgram(["train", "--all"], environment)
  assert.strictEqual(code, 1, stderr)
  assert.match(stdout, /^AERO_SLM: failed, .*its schema is 0.*\nOTHER: failed, .*its schema is 0.*\n$/)
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
  assert.strictEqual(wrong.code, 2, wrong.stderr)
})

it.each([
  ["train", "--model", "AERO SLM"],
  ["train", "--model", "AERO SLM", "--from", "mistyped.jsonl"],
  ["train", "--all"],
  ["models", "list"],
  ["models", "rollback", "--model", "AERO SLM"]
])("%s %s: a mistyped file or directory is named with its option, and not made", async (...words) => {
  const mistyped = join(directory, "mistyped")
  const { code, stderr } = await runProgram([...words, "--data-dir", mistyped])
  assert.strictEqual(code, 1, stderr)
  assert.match(
    stderr,
    /^error: there is no ((store in|directory) .*mistyped; see --data-dir \(DATA_DIR\)|file mistyped\.jsonl; see --from)/
  )
  assert.isFalse(existsSync(mistyped))
})

it.effect("refuses what would be left unheard", () =>
  Effect.gen(function* () {
    const none = {
      model: Option.none(),
      from: Option.none(),
      days: Option.none(),
      output: Option.none(),
      champion: Option.none(),
      minInstallations: 5,
      evaluateOnly: false,
      json: false
    }
    yield* optionsOfAll(none)
    const heard = [
      yield* Effect.flip(optionsOfAll({ ...none, evaluateOnly: true })),
      yield* Effect.flip(optionsOfAll({ ...none, days: Option.some(30) })),
      yield* Effect.flip(optionsOfAll({ ...none, from: Option.some("export.jsonl") }))
    ]
    assert.deepStrictEqual(
      heard.map(({ message }) => message),
      ["--evaluate-only", "--days", "--from"].map((option) => `${option} is for one model, and does not go with --all`)
    )
  })
)

/** A database that knows one home, of which it has no records. */
const emptyHome = async () => {
  const server = createServer((request, response) => {
    const metric = { __name__: "heatpump_metrics_status_heat_pump", installation_id: "a", model: "AERO_SLM" }
    response.end(request.url!.includes("/series") ? JSON.stringify({ status: "success", data: [metric] }) : "")
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return { server, url: `http://127.0.0.1:${address.port}` }
}

it("ends with 3 when there was nothing to train or to publish, and says what is missing; every night's goes on", async () => {
  const { server, url } = await emptyHome()
  const missing = "no model has 5 installations and 10,000 points yet; known models: AERO_SLM (1)"
  const environment = {
    MODEL_DIR: mkdtempSync(join(directory, "models-")),
    VM_EXPORT_URL: url,
    TELEMETRY_ENCRYPTION_KEY: makeModelKeys().encryption
  }
  const none = await runProgram(["train", "--all"], environment)
  assert.deepStrictEqual(none, { code: 3, stdout: "", stderr: `error: ${missing}\n` })

  // Nobody here can open what is published, so there is nothing to compare with; the file at --output is no champion.
  writeFileSync(join(environment.MODEL_DIR, "AERO_SLM.enc"), "put there by hand")
  mkdirSync(join(environment.MODEL_DIR, "trained/AERO_SLM"), { recursive: true })
  writeFileSync(join(environment.MODEL_DIR, "trained/AERO_SLM/model.pkl"), "rolled back")
  const named = await runProgram(["train", "--all", "--publish"], { ...environment, TARGET_MODELS: "AERO SLM" })
  assert.strictEqual(named.code, 3, named.stderr)
  assert.match(
    named.stdout,
    /^AERO_SLM: refused, error: not enough data of AERO_SLM: 0 of 5 installations, 0 of 10,000/
  )
  assert.include(named.stderr, "what is published of AERO_SLM will be replaced without a comparison")
  assert.notInclude(named.stderr, "model.pkl")
  assert.match(named.stderr, /\nerror: nothing new: of AERO_SLM there are not enough data, or the gate refused it.*\n$/)

  const nightly = spawn(process.execPath, [mainFile, "train", "--all", "--every-day-at", "03:00"], {
    env: { PATH: process.env.PATH ?? "", RUN_ON_STARTUP: "true", ...environment },
    stdio: ["ignore", "ignore", "pipe"]
  })
  const ended = once(nightly, "exit")
  let said = ""
  for await (const text of nightly.stderr.setEncoding("utf8")) {
    said += text
    if (said.includes("waiting for the next training")) nightly.kill("SIGTERM")
  }
  assert.deepStrictEqual(await ended, [0, null])
  assert.include(said, missing)
  server.closeAllConnections()
  server.close()
})

/** A database that begins to answer and never ends, so that a training is under way for as long as a test needs. */
const hangingDatabase = async () => {
  const server = createServer((request, response) => {
    if (request.url!.includes("/series")) {
      const metric = { __name__: "heatpump_metrics_status_heat_pump", installation_id: "a", model: "AERO_SLM" }
      response.end(JSON.stringify({ status: "success", data: [metric] }))
    } else response.write("{")
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return { server, url: `http://127.0.0.1:${address.port}` }
}

/** `telemetry train --all` whose child reads what never ends. */
const startHanging = async (args: ReadonlyArray<string>, environment: Readonly<Record<string, string>>) => {
  const { server, url } = await hangingDatabase()
  const parent = spawn(process.execPath, [mainFile, "train", "--all", ...args], {
    env: {
      PATH: process.env.PATH ?? "",
      MODEL_DIR: mkdtempSync(join(directory, "models-")),
      TARGET_MODELS: "AERO SLM",
      VM_EXPORT_URL: url,
      ...environment
    }
  })
  let said = ""
  for (const stream of [parent.stdout, parent.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text
    })
  }
  const ended = once(parent, "close")
  await once(server, "request")
  await once(server, "request")
  const child = Number(readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, "utf8"))
  assert.isAbove(child, 0)
  const end = async () => {
    const [code] = await ended
    server.closeAllConnections()
    server.close()
    return { code, said }
  }
  return { parent, child, end }
}

it.skipIf(process.platform !== "linux")("a child that is killed is reported with its signal", async () => {
  const { child, end } = await startHanging([], {})
  process.kill(child, "SIGKILL")
  const { code, said } = await end()
  assert.strictEqual(code, 1, said)
  assert.include(said, "AERO_SLM: failed, killed by SIGKILL, perhaps for want of memory\n")
})

it.skipIf(process.platform !== "linux")(
  "stopped every night's training ends with 0, and not before its child",
  async () => {
    const { child, end, parent } = await startHanging(["--every-day-at", "03:00"], { RUN_ON_STARTUP: "true" })
    parent.kill("SIGTERM")
    const { code, said } = await end()
    assert.strictEqual(code, 0, said)
    assert.notMatch(said, /fail|error/i)
    assert.isFalse(existsSync(`/proc/${child}`))
  }
)

it("interrupted at the terminal, it ends with 130 as other commands do", async () => {
  const parent = spawn(process.execPath, [mainFile, "train", "--all", "--every-day-at", "03:00"], {
    env: { PATH: process.env.PATH ?? "", DATA_DIR: join(directory, "none") },
    stdio: ["ignore", "ignore", "pipe"]
  })
  const [text] = await once(parent.stderr, "data")
  assert.match(String(text), /waiting for the next training.*TRAINING_TIME empty/)
  parent.kill("SIGINT")
  assert.deepStrictEqual(await once(parent, "exit"), [130, null])
})
