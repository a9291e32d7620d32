/**
 * The features that the ml-service makes of what it reads, under its names and by its rules:
 *
 * 1. Sensors as measured.
 * 2. `hour_of_day`, `day_of_week`, `is_weekend`: see `TimeFeature`.
 * 3. `<name>_delta`: the change since the last measurement of that name; missing before the first.
 * 4. `temp_spread`: flow - return, each the first of two sensors that is neither missing nor 0.
 * 5. `cop_instant`: thermal / electric power above 0.2 kW, else 0. What the service makes of one power without the
 *    other is not laid down: here a ratio that lacks a part is missing. Only the baselines read it.
 *
 * `ServiceLoop` follows them poll by poll, `Features` with danfo for samples.
 */
import { sensors } from "../domain/Sensor.js"

export const timeFeatures = ["hour_of_day", "day_of_week", "is_weekend"] as const
export const spreadFeature = "temp_spread"
export const copFeature = "cop_instant"
const deltaSuffix = "_delta"
const deltaOf = (name: string) => `${name}${deltaSuffix}`
/** The feature whose change `name` is; undefined when it is no delta. */
export const deltaRoot = (name: string): string | undefined =>
  name.endsWith(deltaSuffix) ? name.slice(0, -deltaSuffix.length) : undefined

/** In order of preference; the registry knows no return of a circuit, some loggers send one all the same. */
export const flowSensors = ["temp_heat_pump_flow", "temp_flow_current_circuit_a"] as const
export const returnSensors = ["temp_heat_pump_return", "temp_return_current_circuit_a"] as const
/** Below this electric power, in kW, a ratio to it says nothing. */
export const smallestPowerKw = 0.2

const isOptional = /_circuit_[b-g]$|^curve_offset_[b-g]$|_room_[b-g]$|_zone_/
const isWriteOnly = new Set(["power_solar_surplus", "acknowledge_faults"])

/** What the ml-service reads as it comes: everything readable but further heating circuits and zones. */
export const scoredSensors: ReadonlySet<string> = new Set(
  [...sensors.keys(), "temp_return_current_circuit_a"].filter(
    (name) => !isOptional.test(name) && !isWriteOnly.has(name)
  )
)

/**
 * A counter of kWh grows for ever: soon it is further from its mean than any fault would bring it. Its growth is not.
 */
const isCounter = (name: string) => sensors.get(name)?.unit === "kWh"

/** The features of a fleet that has these sensors, in the service's order of derivation. */
export const featuresOf = (fleetSensors: ReadonlyArray<string>): ReadonlyArray<string> => {
  const has = (names: ReadonlyArray<string>) => names.some((name) => fleetSensors.includes(name))
  const base = [...fleetSensors, ...timeFeatures]
  return [
    ...base.filter((name) => !isCounter(name)),
    ...base.map(deltaOf),
    ...(has(flowSensors) && has(returnSensors) ? [spreadFeature] : []),
    ...(has(["power_thermal"]) && has(["power_current"]) ? [copFeature] : [])
  ]
}
