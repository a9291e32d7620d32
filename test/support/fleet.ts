/**
 * A fleet of simulated homes with air-source heat pumps, by physics and from a seed: the same arguments give the same
 * numbers on every machine. One Euler step per minute; the columns are what an IDM logger sends, in its names and units.
 *
 * Homes of one `seed` share 84 % of their weather's variance when they start at the same time. Data are clean here;
 * `fleetDirt` adds what loggers do to them. Cost: about half of a second per home and year.
 */
import { statusBit } from "../../src/domain/Mode.js"
import { HeatPump } from "./fleetHeatPump.js"
import { type Home, makeHome, outdoorTemperature } from "./fleetHome.js"
import { SeededRandom } from "./random.js"

export interface SimulatedHome {
  readonly installationId: string
  /** Ascending, with a logger's phase and jitter. */
  readonly timestampsMs: Float64Array
  /** NaN is missing. */
  readonly columns: ReadonlyMap<string, Float64Array>
}

export interface HomeOptions {
  readonly seed: number
  /** Number of the home within its fleet, from 0. */
  readonly home: number
  readonly startMs: number
  readonly days: number
  /** Minutes from one record to the next; the physics runs at one minute anyway. Default 1. */
  readonly cadenceMinutes?: number
  /** Only these columns; all by default. */
  readonly sensors?: ReadonlyArray<string>
}

const minuteMs = 60_000
export const dayMs = 86_400_000
const warmUpMinutes = 2 * 1440
/** A probe reaches this share of a step within a minute: 75 s of lag. */
const probeShare = 1 - Math.exp(-60 / 75)
const lag = (probe: number, truth: number) => probe + probeShare * (truth - probe)

/** Set points and states that stay as they are. */
const constantsOf = (home: Home): Readonly<Record<string, number>> => ({
  status_system: 1,
  failure_id: 0,
  evu_lock_status: 0,
  failure_heat_pump: 0,
  temp_water_target: home.tank.target + 1,
  temp_water_switch_on: home.tank.target - home.tank.hysteresis,
  temp_water_switch_off: home.tank.target,
  mode_circuit_a: 1,
  temp_room_target_heating_normal_circuit_a: Math.round(home.roomTarget * 2) / 2,
  temp_room_target_heating_eco_circuit_a: 19,
  curve_circuit_a: Math.round(((home.designFlow - 20.5) / (20.5 - home.designOutside)) * 20) / 20,
  temp_threshold_heating_circuit_a: Math.round(home.heatingLimit)
})

export const simulateHome = (options: HomeOptions): SimulatedHome => {
  const { seed, startMs, days, cadenceMinutes = 1 } = options
  const random = new SeededRandom(seed, options.home + 1)
  const installationId = random.uuid()
  const home = makeHome(random)
  const records = Math.floor((days * 1440) / cadenceMinutes)
  const timestampsMs = new Float64Array(records)
  const columns = new Map<string, Float64Array>()
  const unwanted = new Float64Array(records)
  const isWanted = (name: string) => options.sensors === undefined || options.sensors.includes(name)
  const column = (name: string): Float64Array => {
    if (!isWanted(name)) return unwanted
    const values = new Float64Array(records)
    columns.set(name, values)
    return values
  }
  for (const [name, value] of Object.entries(constantsOf(home))) column(name).fill(value)

  const outside = column("temp_outside")
  const outsideAvg = column("temp_outside_avg")
  const flow = column("temp_heat_pump_flow")
  const returned = column("temp_heat_pump_return")
  const storage = column("temp_heat_storage")
  const tankTop = column("temp_water_heater_top")
  const tankBottom = column("temp_water_heater_bottom")
  const hotGas = column("temp_hgl_flow")
  const sourceInput = column("temp_heat_source_input")
  const sourceOutput = column("temp_heat_source_output")
  const airInput = column("temp_air_input")
  const airExchanger = column("temp_air_heat_exchanger")
  const charge = column("temp_charge_sensor")
  const circuitFlow = column("temp_flow_current_circuit_a")
  const circuitTarget = column("temp_flow_target_circuit_a")
  const room = column("temp_room_circuit_a")
  const humidity = column("humidity")
  const electric = column("power_current")
  const draw = column("power_current_draw")
  const thermal = column("power_thermal")
  const status = column("status_heat_pump")
  const requestHeating = column("request_heating")
  const requestCooling = column("request_cooling")
  const requestWater = column("request_water")
  const compressor = column("state_compressor_1")
  const pump = column("state_charge_pump")
  const valve = column("valve_state_main_heating_water")
  const activeMode = column("mode_active_circuit_a")
  const energyHeating = column("energy_heat_heating")
  const energyWater = column("energy_heat_total_water")
  const energyTotal = column("energy_heat_total")

  const weather = outdoorTemperature(
    home.climate,
    startMs - warmUpMinutes * minuteMs,
    warmUpMinutes + days * 1440,
    new SeededRandom(seed, 0),
    random
  )
  const machine = new HeatPump(home, random, weather[0]!)
  const phaseMs = Math.floor(random.uniform(0, minuteMs))
  // Sensors know no negative zero.
  const celsius = (probe: number, number: number) =>
    Math.round((probe + home.probeOffset[number]! + 0.05 * random.normal()) * 10) / 10 + 0
  const kilowatts = (value: number) => Math.round(value * (1 + 0.01 * random.normal()) * 100) / 100 + 0
  let flowProbe = machine.flow
  let returnProbe = machine.return
  let circuitProbe = machine.circuitFlow
  let outputProbe = weather[0]!
  let exchangerProbe = weather[0]!
  let hotGasProbe = machine.flow
  let moisture = 55
  let heatingKwh = random.uniform(1000, 15_000)
  let waterKwh = heatingKwh * 0.3

  for (let minute = -warmUpMinutes; minute < days * 1440; minute++) {
    const air = weather[minute + warmUpMinutes]!
    machine.step(startMs + minute * minuteMs, air)
    flowProbe = lag(flowProbe, machine.flow)
    returnProbe = lag(returnProbe, machine.return)
    circuitProbe = lag(circuitProbe, machine.circuitFlow)
    outputProbe = lag(outputProbe, machine.sourceOutput)
    exchangerProbe = lag(exchangerProbe, machine.evaporator)
    hotGasProbe = lag(hotGasProbe, machine.hotGas)
    moisture += (50 + 8 * random.normal() - moisture) / 300
    if (machine.isHeating) heatingKwh += Math.max(0, machine.heat) / 60
    if (machine.isHeatingWater) waterKwh += Math.max(0, machine.heat) / 60
    if (minute < 0 || minute % cadenceMinutes !== 0) continue

    const i = minute / cadenceMinutes
    if (i >= records) break
    timestampsMs[i] = startMs + minute * minuteMs + phaseMs + Math.round(random.uniform(0, 250))
    outside[i] = celsius(air, 0)
    outsideAvg[i] = Math.round(machine.outsideAverage * 10) / 10 + 0
    flow[i] = celsius(flowProbe, 1)
    returned[i] = celsius(returnProbe, 2)
    storage[i] = celsius(machine.water, 3)
    tankTop[i] = celsius(machine.tankTop, 4)
    tankBottom[i] = celsius(machine.tankBottom, 5)
    hotGas[i] = celsius(hotGasProbe, 6)
    sourceInput[i] = celsius(air, 7)
    sourceOutput[i] = celsius(outputProbe, 8)
    airInput[i] = celsius(air + 0.2, 9)
    airExchanger[i] = celsius(exchangerProbe, 10)
    charge[i] = celsius(flowProbe - 0.2, 11)
    circuitFlow[i] = celsius(circuitProbe, 12)
    circuitTarget[i] = Math.round(machine.flowTarget * 10) / 10
    room[i] = celsius(machine.room, 13)
    humidity[i] = Math.round(moisture * 10) / 10
    electric[i] = kilowatts(machine.power)
    draw[i] = kilowatts(machine.power)
    thermal[i] = kilowatts(machine.heat)
    status[i] =
      (machine.isHeating ? statusBit.heating : 0) |
      (machine.isCooling ? statusBit.cooling : 0) |
      (machine.isHeatingWater ? statusBit.water : 0) |
      (machine.isDefrosting ? statusBit.defrosting : 0)
    requestHeating[i] = machine.wantsHeating ? 1 : 0
    requestCooling[i] = machine.wantsCooling ? 1 : 0
    requestWater[i] = machine.wantsWater ? 1 : 0
    compressor[i] = machine.isRunning ? 1 : 0
    pump[i] = Math.round(machine.pumpPercent)
    valve[i] = machine.isHeatingWater ? 1 : 0
    activeMode[i] = machine.isHeating ? 1 : machine.isCooling ? 2 : 0
    energyHeating[i] = Math.round(heatingKwh * 100) / 100
    energyWater[i] = Math.round(waterKwh * 100) / 100
    energyTotal[i] = Math.round((heatingKwh + waterKwh) * 100) / 100
  }
  return { installationId, timestampsMs, columns }
}
