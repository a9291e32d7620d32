/**
 * A heat pump with its controller, the building that it heats and its hot water tank, one minute at a time.
 * kW, kWh, °C, minutes. Formulas: energy balances of first order; COP as a share of Carnot's.
 */
import { flowTarget, type Home } from "./fleetHome.js"
import type { SeededRandom } from "./random.js"

const clamp = (value: number, min: number, max: number) => Math.min(max, Math.max(min, value))
const minuteHours = 1 / 60
/** Shortest run and rest of a compressor. */
const shortestMinutes = 7
const defrostMinutes = 4
/** From the mean of the heating water to the flow, K. */
const halfSpread = 2
/** The controller aims at its target, and a little beyond, within this time. */
const catchUpHours = 0.35
/** Heat rises with the compressor's start. */
const startShare = [0.35, 0.6, 0.85]
/** Litres per minute that carry 1 kW at 1 K. */
const litresPerKwK = 14.33

const ofDay = (value: (hour: number) => number) =>
  Float64Array.from({ length: 1440 }, (_, minute) => value(minute / 60))
const sunShare = ofDay((hour) => Math.max(0, Math.sin((Math.PI * (hour - 7)) / 11)))
const peak = (hour: number, at: number, width: number) => Math.exp(-(((hour - at) / width) ** 2))
/** Of a draw of 0.15 kWh on average in one minute, per kWh drawn a day: peaks in the morning and the evening. */
const drawProbability = ofDay((hour) => (0.012 + 0.16 * peak(hour, 7, 1.1) + 0.16 * peak(hour, 19.5, 1.4)) / 60 / 0.15)

type Duty = "off" | "heating" | "cooling" | "water"

export class HeatPump {
  /** Mean temperature of the heating water. */
  water: number
  room: number
  outsideAverage: number
  flow: number
  return: number
  circuitFlow: number
  flowTarget = 25
  evaporator: number
  sourceOutput: number
  hotGas: number
  tank: number
  /** Thermal and electric power; heat is negative when cooling and defrosting. */
  heat = 0
  power = 0
  pumpPercent = 0
  wantsHeating = false
  wantsCooling = false
  wantsWater = false
  #duty: Duty = "off"
  #minutesInState = 60
  #load = 0
  #frost = 0
  #defrostLeft = 0
  #isSeason = true
  #curveOutside: number

  constructor(
    private readonly home: Home,
    private readonly random: SeededRandom,
    outside: number
  ) {
    this.outsideAverage = outside
    this.#curveOutside = outside
    this.room = home.roomTarget
    this.water = clamp(flowTarget(home, outside) - 2, 20, 45)
    this.flow = this.return = this.circuitFlow = this.hotGas = this.water
    this.evaporator = this.sourceOutput = outside
    this.tank = home.tank.target - random.uniform(0, home.tank.hysteresis)
    this.#frost = random.uniform(0, home.frostMinutes)
  }

  get isRunning() {
    return this.#duty !== "off"
  }
  get isHeating() {
    return this.#duty === "heating"
  }
  get isCooling() {
    return this.#duty === "cooling"
  }
  get isHeatingWater() {
    return this.#duty === "water"
  }
  get isDefrosting() {
    return this.#defrostLeft > 0
  }
  get tankTop() {
    return this.tank + 1
  }
  get tankBottom() {
    return this.tank - (this.isHeatingWater ? 1 : 3)
  }

  step(timeMs: number, outside: number): void {
    const hour = (timeMs / 3_600_000) % 24
    this.outsideAverage += (outside - this.outsideAverage) / 1440
    this.#curveOutside += (outside - this.#curveOutside) / 120
    this.#control()
    this.#run(outside)
    this.#moveHeat(hour, outside)
  }

  #control(): void {
    const { home } = this
    const { hysteresis, target } = home.tank
    this.wantsWater = this.tank < target - hysteresis || (this.wantsWater && this.tank < target)

    this.#isSeason = this.outsideAverage < home.heatingLimit - (this.#isSeason ? 0 : 0.5)
    const isWarm = this.room > home.roomTarget + 1.8 && this.outsideAverage > 17
    const isCooling =
      home.hasCooling && !this.#isSeason && (isWarm || (this.wantsCooling && this.room > home.roomTarget + 0.8))
    this.flowTarget = Math.round((isCooling ? 19 : flowTarget(home, this.#curveOutside)) * 10) / 10
    this.wantsHeating = this.#isSeason && this.water + halfSpread < this.flowTarget + (this.wantsHeating ? 3.4 : -3.6)
    this.wantsCooling = isCooling && this.water > this.flowTarget + (this.wantsCooling ? -2 : 2)

    const wanted: Duty = this.wantsWater
      ? "water"
      : this.wantsHeating
        ? "heating"
        : this.wantsCooling
          ? "cooling"
          : "off"
    this.#minutesInState++
    if (wanted === this.#duty || this.isDefrosting) return
    const startsOrStops = wanted === "off" || this.#duty === "off" || wanted === "cooling" || this.isCooling
    if (!startsOrStops) this.#duty = wanted
    else if (this.#minutesInState > shortestMinutes) {
      this.#duty = this.#duty === "off" ? wanted : "off"
      this.#minutesInState = 0
      this.#load = this.home.smallestLoad
    }
  }

  /** Heat, power and the temperatures at the machine. */
  #run(outside: number): void {
    const { home } = this
    if (!this.isRunning) {
      this.heat = 0
      this.power = home.standbyKw + (this.#isSeason ? home.pumpKw * 0.5 : 0)
      this.pumpPercent = this.#isSeason ? 40 : 0
      this.flow = this.return = this.water
      this.evaporator += (outside - this.evaporator) / 8
      this.sourceOutput += (outside - this.sourceOutput) / 5
      this.hotGas += (this.water - this.hotGas) / 20
      this.#frost = Math.max(0, this.#frost - (outside > 3 ? 0.5 : 0))
      return
    }
    const mostHeat = home.nominalHeat * (1 + 0.017 * (outside + 7))
    const needed = this.isHeatingWater
      ? 0.8 * mostHeat
      : Math.abs(this.#emitted(this.flowTarget - halfSpread)) +
        (Math.abs(this.flowTarget - this.water + 2) * home.waterCapacity) / catchUpHours
    this.#load += clamp(clamp(needed / mostHeat, home.smallestLoad, 1) - this.#load, -0.2, 0.2)
    const load = this.#load
    const start = startShare[this.#minutesInState] ?? 1
    const litres = home.nominalFlow * (0.8 + 0.4 * load)
    this.pumpPercent = 60 + 40 * load

    if (this.isDefrosting) this.#defrostLeft--
    else if (!this.isCooling && outside < 5.5) {
      this.#frost += (0.4 + 0.6 * load) * Math.exp(-(((outside - 1) / 5) ** 2))
      if (this.#frost > home.frostMinutes) {
        this.#frost = 0
        this.#defrostLeft = defrostMinutes
      }
    }
    if (this.isDefrosting) {
      this.heat = -0.45 * home.nominalHeat
      this.evaporator += (12 - this.evaporator) / 2
    } else if (this.isCooling) {
      this.heat = -load * 0.8 * home.nominalHeat * start
      this.evaporator = this.water - 5
    } else {
      this.heat = load * mostHeat * start
      this.evaporator = outside - 6 - 2 * (load - 0.5) - (2 * this.#frost) / home.frostMinutes
    }
    const spread = (this.heat * litresPerKwK) / litres
    const middle = this.isHeatingWater ? this.tank + 2 : this.water
    this.flow = middle + spread / 2
    this.return = middle - spread / 2
    const condensation = this.isCooling ? outside + 9 : this.flow + 2
    const lift = Math.max(12, condensation - this.evaporator)
    const partLoad = 1.02 - 0.12 * Math.abs(load - 0.45)
    const cop = (home.efficiency * partLoad * (0.7 + 0.3 * start) * (condensation + 273.15)) / lift
    this.power = home.pumpKw + (this.isDefrosting ? 0.25 * home.nominalHeat * 0.45 : Math.abs(this.heat) / cop)
    this.sourceOutput = this.isCooling
      ? outside + 2 + 4 * load
      : this.isDefrosting
        ? outside + 1
        : outside - 1.5 - 3.5 * load
    this.hotGas += (condensation + 14 + 14 * load - this.hotGas) / 4
  }

  /** What the emitters give at a water temperature; thermostats close above the room's target. */
  #emitted(water: number): number {
    const { home } = this
    const difference = water - this.room
    if (difference < 0) return this.#isSeason ? 0 : -home.emitterFactor * (-difference) ** home.emitterExponent
    const opening = this.#isSeason ? clamp((home.roomTarget + 1.6 - this.room) / 1, 0.2, 1) : 0
    return opening * home.emitterFactor * difference ** home.emitterExponent
  }

  #moveHeat(hour: number, outside: number): void {
    const { home } = this
    const emitted = this.#emitted(this.water)
    const fromMachine = this.isHeatingWater ? 0 : this.heat
    this.water += ((fromMachine - emitted) * minuteHours) / home.waterCapacity
    this.circuitFlow = this.water + (emitted * litresPerKwK) / home.nominalFlow / 2
    const minuteOfDay = Math.floor(hour * 60)
    const sun = sunShare[minuteOfDay]!
    const gains = 0.2 + 0.06 * home.designLoss * sun * (1 + clamp(this.outsideAverage / 20, 0, 1))
    this.room += ((emitted + gains - home.lossPerK * (this.room - outside)) * minuteHours) / home.capacity

    const draw =
      this.random.uniform() < drawProbability[minuteOfDay]! * home.tank.dailyDrawKwh
        ? this.random.uniform(0.02, 0.28)
        : 0
    const charge = this.isHeatingWater ? this.heat * minuteHours : 0
    this.tank += (charge - draw - 0.0012 * (this.tank - 18) * minuteHours) / home.tank.capacity
  }
}
