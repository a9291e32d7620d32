/** Small fleets for tests of training and judging: seconds, not minutes. Not for figures; `bench/evaluation.ts` is. */
import { Effect } from "effect"
import { collectModes, recordsByMode } from "../../src/training/FitHomes.js"
import type { HomeRecords } from "../../src/training/HomeRecords.js"
import { residualSensors } from "../../src/training/ResidualTraining.js"
import { simulateHome } from "./fleet.js"
import { soil } from "./fleetDirt.js"

const winterMs = Date.UTC(2026, 0, 5)
export const sensors = residualSensors.filter((sensor) => sensor !== "temp_air_heat_exchanger")

export const smallFleet = (options: {
  readonly homes: number
  readonly days: number
  readonly seed: number
  readonly glitches?: number
}): ReadonlyArray<HomeRecords> =>
  Array.from({ length: options.homes }, (_, home) =>
    soil(simulateHome({ ...options, home, startMs: winterMs, sensors: [...residualSensors, "status_heat_pump"] }), {
      seed: home,
      glitches: options.glitches ?? 0,
      absentProbes: false
    })
  )

export const modesOf = (homes: ReadonlyArray<HomeRecords>, checksRange = true) =>
  collectModes(homes.map((home) => recordsByMode(home, sensors, checksRange)))

export const quiet = () => Effect.void
