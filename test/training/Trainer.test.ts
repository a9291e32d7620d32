import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeContext } from "@effect/platform-node"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import { writeModel } from "../../src/artifact/RiverPickle.js"
import { neverAlarming } from "../../src/artifact/RiverPipeline.js"
import { statusSensor } from "../../src/domain/Mode.js"
import type { Dataset } from "../../src/training/Dataset.js"
import { openFileDataset } from "../../src/training/FileDataset.js"
import type { FleetOptions } from "../../src/training/FleetSample.js"
import type { OnProgress } from "../../src/training/Progress.js"
import { readTrainable, trainWhitened } from "../../src/training/Trainer.js"
import { dayMs, type SimulatedHome, simulateHome } from "../support/fleet.js"
import { soil } from "../support/fleetDirt.js"
import { disorder, exportLines } from "../support/fleetOutput.js"

const startMs = Date.UTC(2025, 0, 10)
const train = (dataset: Dataset, options: FleetOptions, onProgress: OnProgress) =>
  Effect.flatMap(readTrainable(dataset, options, onProgress), (sample) =>
    trainWhitened(sample, options.seed, onProgress)
  )
const options: FleetOptions = {
  model: "AERO SLM",
  range: { fromMs: 0, untilMs: startMs + 100 * dayMs },
  minInstallations: 5,
  minPoints: 4_000,
  seed: 42
}
const directory = mkdtempSync(join(tmpdir(), "telemetry-trainer-"))
afterAll(() => rmSync(directory, { recursive: true }))

const clean = Array.from({ length: 5 }, (_, home) =>
  simulateHome({ seed: 21, home, startMs, days: 5, cadenceMinutes: 5 })
)
const dirty = clean.map((home, i) => soil(home, { seed: i }))
const linesOf = (homes: ReadonlyArray<SimulatedHome>) =>
  homes.flatMap((home) => exportLines(home, { model: "AERO_SLM" }))

const trainOn = Effect.fn("trainOn")(function* (lines: ReadonlyArray<string>, changes: Partial<FleetOptions> = {}) {
  const file = join(mkdtempSync(join(directory, "export-")), "export.jsonl")
  writeFileSync(file, lines.join("\n"))
  const dataset = yield* openFileDataset(file)
  return yield* train(dataset, { ...options, ...changes }, () => Effect.void)
}, Effect.scoped)
const bytesOf = (lines: ReadonlyArray<string>, changes: Partial<FleetOptions> = {}) =>
  Effect.map(trainOn(lines, changes), ({ model }) => writeModel(model).toString("latin1"))
const refusal = (lines: ReadonlyArray<string>, changes: Partial<FleetOptions> = {}) =>
  Effect.map(Effect.either(trainOn(lines, changes)), (result) => Either.getOrThrow(Either.flip(result)).message)

/** Each series in three pieces that overlap, their samples shuffled. */
const shredded = (lines: ReadonlyArray<string>, seed: number): ReadonlyArray<string> =>
  disorder(
    lines.flatMap((line) => {
      const { metric, timestamps, values } = JSON.parse(line)
      const samples: ReadonlyArray<readonly [number, number]> = disorder(
        timestamps.map((timestamp: number, i: number) => [timestamp, values[i]]),
        seed
      )
      const third = Math.ceil(samples.length / 3)
      return [0, 1, 2].map((piece) => {
        const part = samples.slice(Math.max(0, piece * third - 10), (piece + 1) * third)
        return JSON.stringify({ metric, values: part.map(([, value]) => value), timestamps: part.map(([at]) => at) })
      })
    }),
    seed
  )

describe("train", () => {
  it.effect("gives the same bytes for the same data, in whatever order; another seed gives others", () =>
    Effect.gen(function* () {
      const lines = linesOf(dirty)
      const bytes = yield* bytesOf(lines)
      // Not deepStrictEqual: nobody wants to read the difference of two pickles.
      assert.isTrue((yield* bytesOf(shredded(lines, 5))) === bytes)
      assert.isFalse((yield* bytesOf(lines, { seed: 43 })) === bytes)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.effect("refuses too little data in one sentence", () =>
    Effect.gen(function* () {
      const lines = [...linesOf(dirty.slice(0, 2)), ...exportLines(clean[4]!, { model: "OTHER" })]
      const sentence = yield* refusal(lines)
      assert.match(
        sentence,
        /^not enough data of AERO_SLM: 2 of 5 installations, 2,\d{3} of 4,000 points; known models: AERO_SLM \(2\), OTHER \(1\)$/
      )
      assert.match(
        yield* refusal(lines, { model: "aero slim" }),
        /^there are no data of aero_slim in .*; did you mean AERO_SLM\? known models: AERO_SLM \(2\), OTHER \(1\)$/
      )
      assert.notInclude(yield* refusal(lines, { model: "something else" }), "did you mean")
      // Outside of the range there are installations, but no records.
      assert.match(
        yield* refusal(lines, { range: { fromMs: startMs + 90 * dayMs, untilMs: startMs + 91 * dayMs } }),
        /0 of 5 installations, 0 of 4,000 points/
      )
      const noStatus = dirty.map((home) => ({
        ...home,
        columns: new Map([...home.columns].filter(([name]) => name !== statusSensor))
      }))
      assert.match(yield* refusal(linesOf(noStatus)), /0 of 5 installations, 0 of 4,000 points/)
      assert.match(
        yield* refusal(
          linesOf(
            clean.map(({ columns, ...home }) => ({
              ...home,
              columns: new Map([[statusSensor, columns.get(statusSensor)!]])
            }))
          )
        ),
        /^no sensor of AERO_SLM/
      )
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.effect("trains on one home when told to; what it cannot learn never alarms, and says so", () =>
    Effect.gen(function* () {
      const longer = simulateHome({ seed: 21, home: 0, startMs, days: 4, cadenceMinutes: 2 })
      const { byMode, features, model } = yield* trainOn(linesOf([longer]), {
        minInstallations: 1,
        minPoints: 0
      })
      assert.isUndefined(byMode.heating.untrainedBecause)
      assert.deepStrictEqual(byMode.cooling, { records: 0, rows: 0, untrainedBecause: "0 of 1000 rows" })
      const scaler = model.cooling.steps[0]!
      assert.strictEqual(scaler.kind, "StandardScaler")
      if (scaler.kind === "StandardScaler") {
        assert.deepStrictEqual(
          scaler.features.map(({ feature }) => feature),
          [...features]
        )
        assert.isTrue(scaler.features.every(({ mean, variance }) => Number.isFinite(mean) && Number.isFinite(variance)))
        const { name: _, ...step } = scaler
        assert.deepStrictEqual(model.cooling, neverAlarming(step))
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.effect("leaves out columns that say nothing, and is finite with holes in all others", () =>
    Effect.gen(function* () {
      const spoilt = dirty.map((home) => {
        const size = home.timestampsMs.length
        const columns = new Map(home.columns)
        columns.set("temp_hgl_flow", new Float64Array(size).fill(Number.NaN))
        columns.set("temp_charge_sensor", new Float64Array(size).fill(31.5))
        columns.set(
          "temp_heat_storage",
          columns.get("temp_heat_storage")!.map((value, i) => (i < 0.45 * size ? Number.NaN : value))
        )
        columns.set(
          "temp_room_circuit_a",
          columns.get("temp_room_circuit_a")!.map((value, i) => (i < 0.55 * size ? Number.NaN : value))
        )
        return { ...home, columns }
      })
      // null is how an export writes NaN.
      const lines = [
        ...linesOf(spoilt),
        JSON.stringify({
          metric: {
            __name__: "heatpump_metrics_temp_solar_collector",
            installation_id: clean[0]!.installationId,
            model: "AERO_SLM"
          },
          values: [null, null],
          timestamps: [startMs, startMs + 1]
        })
      ]
      const { features, model } = yield* trainOn(lines)
      for (const name of [
        "temp_hgl_flow",
        "temp_charge_sensor",
        "temp_room_circuit_a",
        "temp_solar_collector",
        "curve_circuit_a",
        "temp_cold_storage"
      ]) {
        assert.notInclude(features, name)
        assert.notInclude(features, `${name}_delta`)
      }
      assert.includeMembers(
        [...features],
        ["temp_heat_storage", "temp_heat_storage_delta", "temp_spread", "cop_instant", "hour_of_day_delta"]
      )
      assert.notInclude(features, "energy_heat_total")
      assert.include(features, "energy_heat_total_delta")
      assert.isFalse(/NaN|Infinity|null/.test(JSON.stringify(model)))
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
