/**
 * Ten faults of heat pumps, put into clean records so that a detector can be judged without a labelled data set.
 *
 * A fault changes the raw fields of one episode, before features are derived from them, and leaves everything else as
 * it was: the building does not react to it. That flatters slow faults a little, since a real home would follow.
 * Severity scales the effect; 1 is the size that the sources report for a fault worth a technician's visit.
 *
 * Sources: W. V. Payne, P. A. Domanski, D. A. Yoon, "A study of the effects of single and simultaneous faults on a heat
 * pump's performance", NIST TN 1648 (2009), for undercharge, blockage and frost; the fault detection data sets of LBNL
 * (J. Granderson et al., Scientific Data 7, 2020) for sensor faults.
 */
import { type HomeRecords, indexAt } from "./HomeRecords.js"

export const faultKinds = [
  "stuck flow sensor",
  "stuck outdoor sensor",
  "outdoor drift",
  "return offset",
  "refrigerant undercharge",
  "flow blockage",
  "frozen evaporator",
  "backup heater stuck on",
  "short cycling",
  "COP loss"
] as const
export type FaultKind = (typeof faultKinds)[number]

export const severities = [0.5, 1, 1.5] as const
export type Severity = (typeof severities)[number]

const flow = "temp_heat_pump_flow"
const circuit = "temp_flow_current_circuit_a"
const returned = "temp_heat_pump_return"
const outside = "temp_outside"
const electric = "power_current"
const thermal = "power_thermal"
const exchanger = "temp_air_heat_exchanger"
const sourceOutput = "temp_heat_source_output"
const status = "status_heat_pump"

const minuteMs = 60_000
/** A running compressor draws more, a resting machine less, kW. */
const runningKw = 0.2
/** R410A and R32 near 0 °C: the pressure of saturated vapour changes by 3 % per kelvin. */
const pressurePerKelvin = 0.03

/** One episode: copies of the columns that a fault may write, and what it needs to know. */
interface Episode {
  readonly timestampsMs: Float64Array
  readonly severity: number
  /** A column of the episode to be overwritten; undefined when the home does not have it. */
  readonly column: (name: string) => Float64Array | undefined
  /** What a sensor last showed some time before the episode began. */
  readonly earlier: (name: string, hours: number) => number
}

interface Fault {
  /** The fields without which there is no such fault. */
  readonly needs: ReadonlyArray<string>
  readonly inject: (episode: Episode) => void
}

const change = (values: Float64Array | undefined, next: (value: number, i: number) => number) => {
  // NaN stays NaN in every formula below.
  if (values !== undefined) for (let i = 0; i < values.length; i++) values[i] = next(values[i]!, i)
}

/** Sets a sensor to what it showed (severity − 0.5) × 6 h before the episode. */
const stuck =
  (name: string) =>
  ({ column, earlier, severity }: Episode) => {
    const value = earlier(name, (severity - 0.5) * 6)
    change(column(name), (x) => (Number.isNaN(x) ? x : value))
  }

const whileRunning = ({ column }: Episode, name: string, next: (value: number, i: number) => number) => {
  const power = column(electric)!.slice()
  change(column(name), (x, i) => (power[i]! > runningKw ? next(x, i) : x))
}

/** Multiplies the difference of flow and return, keeping the return; the circuit behind follows the flow. */
const scaleSpread = (episode: Episode, factor: number) => {
  const back = episode.column(returned)!
  const before = episode.column(flow)!.slice()
  whileRunning(episode, flow, (x, i) => back[i]! + (x - back[i]!) * factor)
  const after = episode.column(flow)!
  change(episode.column(circuit), (x, i) => x + (after[i]! - before[i]! || 0))
}

/** Low pressure is no field of these loggers; the evaporator's temperature, which it sets, is. */
const lowerPressure = (episode: Episode, logarithm: number) =>
  whileRunning(episode, exchanger, (x) => x - logarithm / pressurePerKelvin)

const scaleAirCooling = (episode: Episode, factor: number) => {
  const air = episode.column(outside)
  if (air !== undefined) whileRunning(episode, sourceOutput, (x, i) => air[i]! + (x - air[i]!) * factor)
}

const faults: Readonly<Record<FaultKind, Fault>> = {
  "stuck flow sensor": { needs: [flow], inject: stuck(flow) },
  "stuck outdoor sensor": { needs: [outside], inject: stuck(outside) },
  "outdoor drift": {
    needs: [outside],
    inject: ({ column, severity, timestampsMs }) => {
      const lengthMs = timestampsMs.at(-1)! - timestampsMs[0]! || 1
      change(column(outside), (x, i) => x + (12 * severity * (timestampsMs[i]! - timestampsMs[0]!)) / lengthMs)
    }
  },
  "return offset": {
    needs: [returned],
    inject: ({ column, severity }) => change(column(returned), (x) => x + 3 * severity)
  },
  "refrigerant undercharge": {
    needs: [flow, returned, electric, thermal],
    inject: (episode) => {
      const { severity } = episode
      const heat = 1 - 0.25 * severity
      // Before the power changes, by which all of them tell whether the compressor runs.
      lowerPressure(episode, 0.22 * severity)
      scaleAirCooling(episode, heat)
      scaleSpread(episode, heat)
      whileRunning(episode, thermal, (x) => x * heat)
      whileRunning(episode, electric, (x) => (x * heat) / (1 - 0.2 * severity))
    }
  },
  "flow blockage": {
    needs: [flow, returned, electric],
    inject: (episode) => {
      const hot = episode.column(flow)!.slice()
      const cold = episode.column(returned)!.slice()
      // Half the flow doubles the spread.
      const rise = (i: number) => ((hot[i]! - cold[i]!) * episode.severity) / 2
      for (const name of [flow, circuit]) {
        whileRunning(episode, name, (x, i) => x + (Number.isNaN(rise(i)) ? 0 : rise(i)))
      }
      whileRunning(episode, returned, (x, i) => x - (Number.isNaN(rise(i)) ? 0 : rise(i)))
      whileRunning(episode, electric, (x, i) => x * (1 + 0.022 * Math.max(0, rise(i) || 0)))
    }
  },
  "frozen evaporator": {
    needs: [flow, returned, thermal, electric],
    inject: (episode) => {
      const heat = 1 - 0.18 * episode.severity
      lowerPressure(episode, -Math.log(1 - 0.24 * episode.severity))
      scaleAirCooling(episode, 1 + 0.5 * episode.severity)
      scaleSpread(episode, heat)
      whileRunning(episode, thermal, (x) => x * heat)
    }
  },
  "backup heater stuck on": {
    needs: [electric, thermal],
    inject: ({ column, severity }) => {
      for (const name of [electric, thermal]) change(column(name), (x) => x + 3 * severity)
    }
  },
  "short cycling": {
    needs: [flow, returned, electric, thermal, status],
    inject: (episode) => {
      const { column, severity, timestampsMs } = episode
      const state = column(status)!
      const back = column(returned)!.slice()
      // 5 min on, 5 min off at severity 1; 10 and 10 at 0.5, 3.3 and 3.3 at 1.5.
      const halfMs = (5 * minuteMs) / severity
      const sinceChangeMs = (i: number) => (timestampsMs[i]! - timestampsMs[0]!) % halfMs
      const isOff = (i: number) => Math.floor((timestampsMs[i]! - timestampsMs[0]!) / halfMs) % 2 === 1
      const share = (i: number) => Math.exp(-sinceChangeMs(i) / (2 * minuteMs))
      // The spread builds up and fades with the water in the pipes; the compressor ramps up in 4 min.
      for (const name of [flow, circuit]) {
        whileRunning(episode, name, (x, i) =>
          Number.isNaN(back[i]!) ? x : back[i]! + (x - back[i]!) * (isOff(i) ? share(i) : 1 - share(i))
        )
      }
      const ramp = (i: number) => Math.min(1, 0.4 + (0.6 * sinceChangeMs(i)) / (4 * minuteMs))
      const running = column(electric)!.map((x) => (x > runningKw ? 1 : 0))
      whileRunning(episode, thermal, (x, i) => (isOff(i) ? 0 : x * ramp(i)))
      whileRunning(episode, electric, (x, i) => (isOff(i) ? 0.03 : x * ramp(i)))
      change(state, (x, i) => (running[i] === 1 && isOff(i) ? 0 : x))
    }
  },
  "COP loss": {
    needs: [electric],
    inject: (episode) => whileRunning(episode, electric, (x) => x * (1 + 0.3 * episode.severity))
  }
}

/** Every field that a fault reads or writes. */
export const faultFields: ReadonlyArray<string> = [
  flow,
  circuit,
  returned,
  outside,
  electric,
  thermal,
  exchanger,
  sourceOutput,
  status
]

/** The fields that a home lacks for a kind of fault; none when it can be injected. */
export const missingFields = (kind: FaultKind, home: HomeRecords): ReadonlyArray<string> =>
  faults[kind].needs.filter((name) => home.columns.get(name)?.some((value) => !Number.isNaN(value)) !== true)

/**
 * The records from `from` to before `to` with a fault in them. Copies what it changes; the home stays as it is.
 * Pre-condition: `missingFields` finds none.
 */
export const inject = (
  home: HomeRecords,
  kind: FaultKind,
  severity: Severity,
  from: number,
  to: number
): HomeRecords => {
  const columns = new Map(Array.from(home.columns, ([name, values]) => [name, values.subarray(from, to)]))
  const written = new Set<string>()
  const column = (name: string): Float64Array | undefined => {
    const values = columns.get(name)
    if (values === undefined || written.has(name)) return values
    written.add(name)
    const copy = values.slice()
    columns.set(name, copy)
    return copy
  }
  const earlier = (name: string, hours: number): number => {
    const values = home.columns.get(name)!
    const at = indexAt(home.timestampsMs, home.timestampsMs[from]! - hours * 60 * minuteMs)
    for (let i = Math.min(at, from); i < to; i++) if (!Number.isNaN(values[i]!)) return values[i]!
    return Number.NaN
  }
  const timestampsMs = home.timestampsMs.subarray(from, to)
  if (to > from) faults[kind].inject({ timestampsMs, severity, column, earlier })
  return { installationId: home.installationId, timestampsMs, columns }
}
