/** A small fleet as it comes to be in each kind of store: by submissions in disorder, some sent twice. */
import { statusSensor } from "../../src/domain/Mode.js"
import type { InstallationRecords } from "../../src/training/InstallationRecords.js"
import { type SimulatedHome, simulateHome } from "./fleet.js"
import { disorder, submitBodies } from "./fleetOutput.js"

export interface PooledFleet {
  readonly homes: ReadonlyArray<SimulatedHome>
  readonly bodies: ReadonlyArray<string>
}

/** Homes of one model, by id: sorted as a dataset gives them. */
export const pooledFleet = (options: {
  readonly homes: number
  readonly model: string
  readonly startMs: number
  readonly days: number
  readonly seed: number
  readonly cadenceMinutes?: number
  readonly soil?: (home: SimulatedHome) => SimulatedHome
}): PooledFleet => {
  const { model, seed, soil = (home) => home } = options
  const homes = Array.from({ length: options.homes }, (_, home) => soil(simulateHome({ ...options, home }))).sort(
    (a, b) => (a.installationId < b.installationId ? -1 : 1)
  )
  const bodies = homes.flatMap((home) => submitBodies(home, { model }))
  return { homes, bodies: disorder(bodies, seed) }
}

/** A submission of a home with two heat pumps: the same records as two homes have, in the nested shape. */
export const nestedBody = (
  installationId: string,
  heatpumps: ReadonlyArray<{ readonly id: string; readonly model: string; readonly home: SimulatedHome }>
): string => {
  const [first] = heatpumps
  const records = Array.from(first!.home.timestampsMs, (timestampMs, i) => ({
    timestamp: timestampMs / 1000,
    heatpumps: heatpumps.map(({ home, id, model }) => ({
      id,
      manufacturer: "idm",
      model,
      values: Object.fromEntries([...home.columns].map(([name, values]) => [name, values[i]]))
    }))
  }))
  return JSON.stringify({ installation_id: installationId, heatpump_model: "", version: "1.0.1", data: records })
}

/** What a dataset should make of a home; of `sensors` only. */
export const expectedRecords = (home: SimulatedHome, sensors: ReadonlySet<string>): InstallationRecords => ({
  installationId: home.installationId,
  heatpumpId: undefined,
  timestampsMs: home.timestampsMs,
  columns: new Map([...home.columns].filter(([name]) => sensors.has(name)).sort(([a], [b]) => (a < b ? -1 : 1)))
})

export const someSensors: ReadonlySet<string> = new Set([
  statusSensor,
  "temp_outside",
  "temp_heat_pump_flow",
  "power_current",
  "power_thermal",
  "energy_heat_total"
])
