import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import { readModel } from "../../src/artifact/RiverReader.js"
import { modes } from "../../src/domain/Mode.js"
import { compile } from "../../src/training/Detector.js"
import { measurementsOf } from "../../src/training/Measurements.js"
import { dayMs } from "../support/fleet.js"
import { soil } from "../support/fleetDirt.js"
import { pooledFleet } from "../support/pooledFleet.js"
import { runProgram, serverProcess } from "../support/program.js"
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
