/** The built program: what `telemetry train` reads, writes and says, from the first upload to real River. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import { readModel } from "../../src/artifact/RiverReader.js"
import { modes } from "../../src/domain/Mode.js"
import { compile } from "../../src/training/Detector.js"
import { measurementsOf } from "../../src/training/Measurements.js"
import { dayMs, simulateHome } from "../support/fleet.js"
import { soil } from "../support/fleetDirt.js"
import { exportLines } from "../support/fleetOutput.js"
import { pooledFleet } from "../support/pooledFleet.js"
import { mainFile, runProgram, serverProcess } from "../support/program.js"
import { describeWithPython, runPython } from "../support/python.js"
import { hasVictoriaMetrics } from "../support/realParts.js"
import { replayFeatures } from "../support/replayFeatures.js"
import { type RiverRecord, vectorOf } from "../support/river.js"
import { submit } from "../support/testServer.js"
import { type Database, runningDatabase } from "../support/victoriaMetrics.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-train-"))
afterAll(() => rmSync(directory, { recursive: true }))
const fresh = () => mkdtempSync(join(directory, "case-"))

const nowMs = Math.floor(Date.now() / 60_000) * 60_000
/** A record every 10 min, so that the upload of 12 homes is a matter of seconds; the physics runs at 1 min. */
const fleet = pooledFleet({
  homes: 12,
  model: "AERO SLM",
  startMs: nowMs - 11 * dayMs,
  days: 10,
  seed: 77,
  cadenceMinutes: 10,
  soil: (home) => soil(home, { seed: 3 })
})
const records = fleet.homes.reduce((sum, { timestampsMs }) => sum + timestampsMs.length, 0)

const submitAll = async (url: string, bodies: ReadonlyArray<string>) => {
  const left = [...bodies]
  const client = async () => {
    for (let body = left.pop(); body !== undefined; body = left.pop()) {
      const response = await submit(url, body)
      assert.strictEqual(response.status, 200, await response.text())
    }
  }
  await Promise.all([client(), client()])
}

const untilStored = async (database: Database, expected: number) => {
  const query = `sum(count_over_time(heatpump_metrics_status_heat_pump{model="AERO_SLM"}[14d]))`
  for (let attempt = 0; attempt < 300; attempt++) {
    await database.flush()
    const answer = await fetch(`${database.url}/api/v1/query?nocache=1&query=${encodeURIComponent(query)}`)
    const { data } = JSON.parse(await answer.text())
    if (Number(data.result[0]?.value[1] ?? 0) >= expected) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error("the fleet did not arrive in VictoriaMetrics")
}

const statusRecords = fleet.homes.reduce(
  (sum, { columns }) => sum + columns.get("status_heat_pump")!.filter((value) => value >= 0 && value <= 65_535).length,
  0
)

/** Of one home, what the ml-service would score: incomplete records, and features that no model knows, among them. */
const someRecords = (features: ReadonlyArray<string>, count: number): ReadonlyArray<RiverRecord> => {
  const home = measurementsOf({ ...fleet.homes[0]!, heatpumpId: undefined })
  const columns = replayFeatures(home, features)
  return Array.from({ length: count }, (_, i) => {
    const row = 1 + i * 31
    const known = features.map((name) => [name, columns.get(name)![row]!] as const)
    return Object.fromEntries([
      ...known.filter(([, value], k) => !Number.isNaN(value) && (i + k) % 11 !== 0),
      ["unheard_of", i]
    ])
  })
}

describe.skipIf(!hasVictoriaMetrics)("telemetry train, from uploads", () => {
  let fromVictoriaMetrics: string
  let fromEmbedded: string
  let results: ReadonlyArray<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>

  beforeAll(
    () =>
      Effect.gen(function* () {
        const database = yield* runningDatabase()
        const throughJournal = yield* serverProcess({
          DATA_DIR: join(fresh(), "data"),
          VM_WRITE_URL: database.url,
          VM_SETTLE_SECONDS: "0"
        })
        const dataDir = join(fresh(), "data")
        const embedded = yield* serverProcess({ DATA_DIR: dataDir })
        fromVictoriaMetrics = join(fresh(), "model.pkl")
        fromEmbedded = join(fresh(), "deeper", "model.pkl")
        yield* Effect.promise(async () => {
          await submitAll(throughJournal.url, fleet.bodies)
          await submitAll(embedded.url, fleet.bodies)
          await untilStored(database, statusRecords)
          // Others write while the embedded store is read.
          const others = pooledFleet({ homes: 2, model: "OTHER", startMs: nowMs - 5 * dayMs, days: 2, seed: 5 })
          const writing = submitAll(embedded.url, others.bodies)
          // Records every 10 min are not what the service sees: what its gate says of them is not the point here.
          const args = ["train", "--model", "AERO SLM", "--no-gate"]
          results = await Promise.all([
            runProgram([...args, "--output", fromVictoriaMetrics, "--json"], { VM_EXPORT_URL: database.url }),
            runProgram([...args, "--output", fromEmbedded, "--quiet"], { DATA_DIR: dataDir })
          ])
          await writing
        })
      }).pipe(Effect.scoped, Effect.runPromise),
    180_000
  )

  it("makes the same model of VictoriaMetrics and of the embedded store, while others write", () => {
    const [first, second] = results
    assert.strictEqual(first!.code, 0, first!.stderr)
    assert.deepInclude(second!, { code: 0, stderr: "" })
    assert.isTrue(readFileSync(fromVictoriaMetrics).equals(readFileSync(fromEmbedded)))
    assert.match(second!.stdout, /^Heating {3}trained on [\d,]+ of [\d,]+ records$/m)

    const result = JSON.parse(first!.stdout)
    const metadata = JSON.parse(readFileSync(fromVictoriaMetrics.replace(".pkl", "_metadata.json"), "utf8"))
    const { bytes, failed_criteria, output, warnings, ...same } = result
    assert.isArray(failed_criteria)
    assert.isTrue(warnings.some((warning: string) => warning.startsWith("heating was trained down to")))
    assert.deepStrictEqual(metadata, same)
    assert.strictEqual(output, fromVictoriaMetrics)
    assert.strictEqual(bytes, readFileSync(fromVictoriaMetrics).length)
    assert.isBelow(bytes, 5e6)
    assert.deepInclude(metadata.data, { installations: 12, source: "VictoriaMetrics" })
    assert.isAbove(metadata.data.records, 0.97 * records)
    assert.includeMembers(metadata.features, ["temp_outside", "temp_heat_pump_flow", "power_thermal"])
    const json = JSON.parse(readFileSync(fromVictoriaMetrics.replace(".pkl", ".json"), "utf8"))
    assert.deepStrictEqual(
      json.modes,
      JSON.parse(JSON.stringify(Either.getOrThrow(readModel(readFileSync(fromVictoriaMetrics)))))
    )
    assert.deepStrictEqual(readdirSync(join(fromEmbedded, "..")).sort(), [
      "metrics.json",
      "model.json",
      "model.pkl",
      "model_card.html",
      "model_card.md",
      "model_homes.json",
      "model_metadata.json"
    ])
    assert.lengthOf(
      JSON.parse(readFileSync(fromEmbedded.replace(".pkl", "_homes.json"), "utf8")).homes,
      metadata.data.installations
    )
  })

  describeWithPython("and River 0.23.0", () => {
    it("uses it as this program does", async () => {
      const bytes = readFileSync(fromVictoriaMetrics)
      const model = Either.getOrThrow(readModel(bytes))
      const { features } = JSON.parse(readFileSync(fromVictoriaMetrics.replace(".pkl", "_metadata.json"), "utf8"))
      const records = someRecords(features, 60)
      const file = join(directory, "records.json")
      writeFileSync(file, JSON.stringify(records))
      const river = await runPython<Record<string, ReadonlyArray<number>>>("score_model.py", fromVictoriaMetrics, file)
      for (const mode of modes) {
        const detector = compile(model[mode], [...features, "unheard_of"])
        records.forEach((record, i) => {
          const values = vectorOf(detector.features, record)
          assert.closeTo(detector.scoreOne(values), river[mode]![i]!, 1e-9, `${mode}, record ${i}`)
          detector.learnOne(values)
        })
      }
    })
  })
})

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

    const refused = await train([...few, "--days", "1"])
    assert.deepStrictEqual({ code: refused.code, stdout: refused.stdout }, { code: 3, stdout: "" }, refused.stderr)
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
