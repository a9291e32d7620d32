/**
 * The records that residual models are fitted to: a second reading of the homes that may be fitted, with the model's
 * sensors only. Memory: one home, and at most `mostRecords` records of each mode over the fleet.
 */
import { Effect } from "effect"
import { type Mode, statusSensor } from "../domain/Mode.js"
import type { Dataset, DatasetRange } from "./Dataset.js"
import { coveredDays, earlier, type HomeRecords } from "./HomeRecords.js"
import { measurementsOf } from "./Measurements.js"
import { type ModeRecords, modeRecords, thinned } from "./ModeRecords.js"
import type { ModeRecordsByMode } from "./ResidualTraining.js"

/** Of one mode, over all heat pumps: 0.3 GB with ten sensors. */
const mostRecords = 4_000_000

/** `checksRange`: false only to show what becomes of a model without any check of its data. */
export const recordsByMode = (home: HomeRecords, sensors: ReadonlyArray<string>, checksRange = true) => {
  const measurements = checksRange ? measurementsOf({ heatpumpId: undefined, ...home }) : home
  const days = coveredDays(home)
  const records = (mode: Mode) => modeRecords(measurements, mode, sensors, days, checksRange)
  return {
    heating: records("heating"),
    cooling: records("cooling"),
    water: records("water"),
    standby: records("standby")
  }
}

export const collectModes = (homes: ReadonlyArray<Readonly<Record<Mode, ModeRecords>>>): ModeRecordsByMode => ({
  heating: homes.map(({ heating }) => heating),
  cooling: homes.map(({ cooling }) => cooling),
  water: homes.map(({ water }) => water),
  standby: homes.map(({ standby }) => standby)
})

export const readFitHomes = Effect.fn("FitHomes.read")(function* (
  dataset: Dataset,
  options: { readonly model: string; readonly range: DatasetRange },
  installationIds: ReadonlyArray<string>,
  sensors: ReadonlyArray<string>,
  /** Of each home's time, the first. */
  share: number,
  onHome: (done: number) => Effect.Effect<void>
) {
  const wanted = new Set([...sensors, statusSensor])
  const homes: Array<Readonly<Record<Mode, ModeRecords>>> = []
  for (const [i, installationId] of installationIds.entries()) {
    const heatpumps = yield* dataset.load(installationId, options.model, options.range, wanted)
    // Its share of what may be kept: every installation weighs the same, and its heat pumps share that.
    const most = Math.floor(mostRecords / installationIds.length / Math.max(1, heatpumps.length))
    for (const heatpump of heatpumps) {
      if (heatpump.timestampsMs.length === 0) continue
      const { cooling, heating, standby, water } = recordsByMode(earlier(heatpump, share), sensors)
      homes.push({
        heating: thinned(heating, most),
        cooling: thinned(cooling, most),
        water: thinned(water, most),
        standby: thinned(standby, most)
      })
    }
    yield* onHome(i + 1)
  }
  return homes
})
