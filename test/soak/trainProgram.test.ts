/** `telemetry train` as a program: what it writes, says and ends with. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { writeModel } from "../../src/artifact/RiverPickle.js"
import { neverAlarming } from "../../src/artifact/RiverPipeline.js"
import { makeModelKeys } from "../../src/ModelKeys.js"
import { dayMs, simulateHome } from "../support/fleet.js"
import { exportLines } from "../support/fleetOutput.js"
import { mainFile, runProgram } from "../support/program.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-train-"))
afterAll(() => rmSync(directory, { recursive: true }))
const fresh = () => mkdtempSync(join(directory, "case-"))
const nowMs = Math.floor(Date.now() / 60_000) * 60_000

describe("telemetry train", () => {
  const file = join(directory, "export.jsonl")
  beforeAll(() => {
    const homes = [0, 1].map((home) =>
      simulateHome({ seed: 8, home, startMs: nowMs - 20 * dayMs, days: 3, cadenceMinutes: 2 })
    )
    writeFileSync(file, homes.flatMap((home) => exportLines(home, { model: "AERO_SLM" })).join("\n"))
  })
  const train = (args: ReadonlyArray<string>, environment: Readonly<Record<string, string>> = {}) =>
    runProgram(["train", "--model", "AERO SLM", "--from", file, ...args], environment)

  it("writes where it is told, says what it does, and adds to a step's summary", async () => {
    const modelDir = fresh()
    const summary = join(modelDir, "summary.md")
    writeFileSync(summary, "before\n")
    const { code, stderr, stdout } = await train(["--min-installations", "2", "--min-points", "100", "--no-gate"], {
      MODEL_DIR: modelDir,
      GITHUB_STEP_SUMMARY: summary
    })
    assert.strictEqual(code, 0, stderr)
    assert.match(stderr, /^loading: 2 of 2 installations, [\d,]+ records, [\d,]+\/s$/m)
    assert.match(stderr, /^fitting the baseline, water \(3 of 4\)$/m)
    assert.match(stdout, /^Model {5}AERO_SLM$/m)
    assert.include(stdout, join(modelDir, "AERO_SLM.pkl"))
    assert.sameMembers(readdirSync(modelDir), [
      "AERO_SLM.json",
      "AERO_SLM.pkl",
      "AERO_SLM_card.html",
      "AERO_SLM_card.md",
      "AERO_SLM_homes.json",
      "AERO_SLM_metadata.json",
      "AERO_SLM_metrics.json",
      "summary.md"
    ])
    assert.match(readFileSync(summary, "utf8"), /^before\n### Trained AERO_SLM\n/)
  })

  it("refuses a model that fails the gate: ends with 3, says why, and leaves the champion alone; judges a champion alone", async () => {
    const modelDir = fresh()
    const output = join(modelDir, "model.pkl")
    const few = ["--min-installations", "2", "--min-points", "100", "--quiet", "--output", output]
    const first = await train([...few, "--no-gate"])
    assert.strictEqual(first.code, 0, first.stderr)
    const champion = readFileSync(output)
    const card = readFileSync(join(modelDir, "model_card.md"), "utf8")

    const page = join(modelDir, "page.md")
    const refused = await train([...few, "--days", "1"], { GITHUB_STEP_SUMMARY: page })
    assert.deepStrictEqual({ code: refused.code, stdout: refused.stdout }, { code: 3, stdout: "" }, refused.stderr)
    assert.match(readFileSync(page, "utf8"), /^### Refused AERO_SLM\n[\s\S]*\n\| Judged \| .*\n(\| Fails \| .* \|\n)+/)
    assert.match(
      refused.stderr,
      /^error: the model was refused and the model at .*model\.pkl stays \(see .*_refused_card\.md\): ./
    )
    assert.isTrue(readFileSync(output).equals(champion))
    assert.strictEqual(readFileSync(join(modelDir, "model_card.md"), "utf8"), card)
    assert.include(readFileSync(join(modelDir, "model_refused_card.md"), "utf8"), "It was NOT published")
    assert.isAbove(
      JSON.parse(readFileSync(join(modelDir, "model_refused_metrics.json"), "utf8")).failed_criteria.length,
      0
    )

    const elsewhere = join(fresh(), "model.pkl")
    const summary = join(modelDir, "summary.md")
    const judge = [...few.slice(0, 5), "--output", elsewhere, "--evaluate-only", "--champion", output]
    const judged = await train(judge, { GITHUB_STEP_SUMMARY: summary })
    assert.strictEqual(judged.code, 0, judged.stderr)
    assert.match(
      judged.stdout,
      /^Judged {4}\d+ % of \d+ faults noticed.* 2 heat pumps that it may have been fitted to$/m
    )
    assert.match(judged.stdout, /^Written {3}.*model_judged_card\.html$/m)
    assert.notMatch(judged.stdout + readFileSync(summary, "utf8"), /trained|Features|Note/i)
    assert.sameMembers(readdirSync(join(elsewhere, "..")), [
      "model_judged_card.html",
      "model_judged_card.md",
      "model_judged_metrics.json"
    ])
    const { evaluations, sensors, warnings } = JSON.parse(
      readFileSync(join(elsewhere, "..", "model_judged_metrics.json"), "utf8")
    )
    assert.strictEqual(Object.keys(evaluations)[0], "champion")
    assert.deepStrictEqual([sensors, warnings], [[], []])
    const inJson = JSON.parse((await train([...judge, "--json"])).stdout)
    assert.sameMembers(Object.keys(inJson), ["output", "failed_criteria", "warnings", "model", "data"])
    const cardOfIt = readFileSync(join(elsewhere, "..", "model_judged_card.md"), "utf8")
    assert.match(cardOfIt, /^Tried on 2 heat pumps that it may have been fitted to, the model noticed/m)
    assert.match(cardOfIt, /^\* Nothing was fitted; tried on \d of 2 installations$/m)
    const missing = await train([...few, "--evaluate-only", "--champion", join(modelDir, "none.pkl")])
    assert.strictEqual(missing.code, 2, missing.stderr)
  })

  it("ends with 3 when there is not enough data, 2 on wrong usage, 1 when it cannot read or write", async () => {
    const output = ["--output", join(fresh(), "model.pkl")]
    const plain = join(fresh(), "file")
    writeFileSync(plain, "")
    const cases: ReadonlyArray<
      readonly [number, RegExp, Promise<{ code: number | null; stdout: string; stderr: string }>]
    > = [
      [
        3,
        /^error: not enough data of AERO_SLM: 2 of 7 installations, \d,\d{3} of 10,000 points; known models: AERO_SLM \(2\)\n$/,
        train([...output, "--quiet"], { MIN_INSTALLATIONS: "7" })
      ],
      [2, /error: --days must be/, train([...output, "--days", "0"])],
      [1, /^error: cannot write .*model\.pkl: .*--output\n$/, train(["--output", join(plain, "model.pkl")])],
      [
        1,
        /cut off in the middle of line 1; export it again\n$/,
        runProgram(["train", "--model", "X", ...output, "--from", cutFile()])
      ]
    ]
    for (const [expected, sentence, run] of cases) {
      const { code, stderr, stdout } = await run
      assert.deepStrictEqual({ code, stdout }, { code: expected, stdout: "" }, stderr)
      assert.match(stderr, sentence)
    }
    assert.deepStrictEqual(readdirSync(join(output[1]!, "..")), [])
    const page = join(fresh(), "page.md")
    const told = await train([...output, "--json"], { MIN_INSTALLATIONS: "7", GITHUB_STEP_SUMMARY: page })
    const [sentence] = JSON.parse(told.stdout).failed_criteria
    assert.match(sentence, /^not enough data of AERO_SLM: 2 of 7 installations/)
    assert.strictEqual(
      readFileSync(page, "utf8"),
      `### No model of AERO_SLM\n\n| | |\n| --- | --- |\n| Missing | ${sentence} |\n`
    )
  })

  it("that publishes, compares with what clients have: after a rollback too, and with nothing where that cannot be opened", async () => {
    const modelDir = fresh()
    const environment = { MODEL_DIR: modelDir, TELEMETRY_ENCRYPTION_KEY: makeModelKeys().encryption }
    const few = ["--min-installations", "2", "--min-points", "100", "--quiet", "--publish"]
    const championIn = (outcome: "" | "refused_") => {
      const text = readFileSync(join(modelDir, `AERO_SLM_${outcome}metrics.json`), "utf8")
      return JSON.parse(text).evaluations.champion
    }
    const versions = async () => {
      const { stdout } = await runProgram(["models", "list", "--json"], environment)
      const [{ current, versions }] = JSON.parse(stdout)
      return { current, all: versions.map(({ version }: { version: string }) => version) }
    }
    const first = await train([...few, "--no-gate"], environment)
    assert.strictEqual(first.code, 0, first.stderr)
    assert.isUndefined(championIn(""))
    const good = readFileSync(join(modelDir, "AERO_SLM.pkl"))
    const second = await train([...few, "--no-gate", "--days", "1"], environment)
    assert.strictEqual(second.code, 0, second.stderr)
    assert.isFalse(readFileSync(join(modelDir, "AERO_SLM.pkl")).equals(good))
    const beside = championIn("")
    assert.isDefined(beside)

    const { all } = await versions()
    assert.lengthOf(all, 2)
    const back = await runProgram(["models", "rollback", "--model", "AERO SLM"], environment)
    assert.match(
      back.stdout,
      /^AERO_SLM: from .*\nThe next nightly training may publish a new version, if that passes the gate beside this one\n$/
    )
    const refused = await train([...few, "--days", "1", "--json"], environment)
    assert.strictEqual(refused.code, 3, refused.stderr)
    const { failed_criteria, output } = JSON.parse(refused.stdout)
    assert.strictEqual(output, join(modelDir, "AERO_SLM_refused_card.html"))
    assert.isTrue(refused.stderr.endsWith(`: ${failed_criteria.join("; ")}\n`), refused.stderr)
    assert.include(refused.stderr, `the model was refused and version ${all[1]} stays published (see `)
    assert.deepStrictEqual(championIn("refused_"), beside)
    assert.deepStrictEqual(await versions(), { current: all[1], all })

    const otherKeys = { ...environment, TELEMETRY_ENCRYPTION_KEY: makeModelKeys().encryption }
    const alone = await train([...few, "--evaluate-only"], otherKeys)
    assert.strictEqual(alone.code, 2, alone.stderr)
    assert.match(
      alone.stderr,
      /what is published of AERO_SLM will be replaced without a comparison: .*another key, or it was changed/
    )
    assert.include(alone.stderr, "there is no model published to judge")
  })

  it("trains nothing where no sensor of a model is measured, and says what to send; judges a champion all the same", async () => {
    const bare = join(fresh(), "bare.jsonl")
    const sensors = ["status_heat_pump", "temp_heat_storage", "temp_water_heater_bottom"]
    const homes = Array.from({ length: 6 }, (_, home) =>
      simulateHome({ seed: 8, home, startMs: nowMs - 20 * dayMs, days: 2, cadenceMinutes: 2, sensors })
    )
    writeFileSync(bare, homes.flatMap((home) => exportLines(home, { model: "AERO_SLM" })).join("\n"))
    const output = join(fresh(), "model.pkl")
    const args = ["train", "--model", "AERO SLM", "--from", bare, "--output", output, "--min-points", "100", "--quiet"]
    const { code, stderr, stdout } = await runProgram([...args, "--no-gate"])
    assert.deepStrictEqual({ code, stdout }, { code: 3, stdout: "" }, stderr)
    assert.match(
      stderr,
      /^error: a model is made of at least 4 sensors .* AERO_SLM has none: nothing was trained; let the loggers send temp_outside, .* or temp_air_heat_exchanger\n$/
    )
    assert.deepStrictEqual(readdirSync(join(output, "..")), [])

    const silent = neverAlarming({ kind: "StandardScaler", withStd: true, features: [] })
    writeFileSync(output, writeModel({ heating: silent, cooling: silent, water: silent, standby: silent }))
    const judged = await runProgram([...args, "--evaluate-only", "--champion", output])
    assert.strictEqual(judged.code, 0, judged.stderr)
    assert.match(judged.stdout, /^Judged {4}none of 0 faults noticed, 0\.00 false alarms/m)
  })

  const cutFile = () => {
    const cut = join(fresh(), "cut.jsonl")
    writeFileSync(cut, readFileSync(file, "utf8").slice(0, 5_000))
    return cut
  }

  it("leaves nothing behind when it is interrupted", async () => {
    // A database that never finishes its answer.
    const database = createServer((request, response) => {
      if (request.url!.includes("/series")) {
        const metric = { __name__: "heatpump_metrics_status_heat_pump", installation_id: "a", model: "AERO_SLM" }
        response.end(JSON.stringify({ status: "success", data: [metric] }))
      } else response.write("{")
    }).listen(0, "127.0.0.1")
    await once(database, "listening")
    const address = database.address()
    const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
    const output = join(fresh(), "model.pkl")
    mkdirSync(join(output, "..", "kept"))
    const child = spawn(process.execPath, [mainFile, "train", "--model", "AERO_SLM", "--output", output], {
      env: { PATH: process.env.PATH ?? "", VM_EXPORT_URL: url },
      stdio: "ignore"
    })
    await once(database, "request")
    await once(database, "request")
    const exited = once(child, "exit")
    child.kill("SIGINT")
    assert.deepStrictEqual(await exited, [130, null])
    database.closeAllConnections()
    database.close()
    assert.isFalse(existsSync(output))
    assert.deepStrictEqual(readdirSync(join(output, "..")), ["kept"])
  })
})
