/**
 * What makes one simulated home: its climate, building, emitters, heat pump and hot water.
 * Ranges are those of German field studies and manufacturers' data sheets; kW, kWh, °C, K, litres, minutes.
 */
import type { SeededRandom } from "./random.js"

export interface Home {
  readonly climate: { readonly mean: number; readonly yearly: number; readonly daily: number }
  /** Heat loss at the design temperature, kW, and per K. */
  readonly designLoss: number
  readonly lossPerK: number
  /** Heat capacity of the building, kWh/K. */
  readonly capacity: number
  /** Mean outdoor temperature above which heating is off. */
  readonly heatingLimit: number
  readonly roomTarget: number
  readonly isFloorHeating: boolean
  readonly emitterExponent: number
  /** Emitters give `emitterFactor * (water - room) ** emitterExponent` kW. */
  readonly emitterFactor: number
  readonly designFlow: number
  readonly designOutside: number
  readonly curveOffset: number
  /** Heat capacity of the heating water, kWh/K. */
  readonly waterCapacity: number
  /** Of the heat pump at -7 °C, kW. */
  readonly nominalHeat: number
  /** Share of full load below which the compressor stops. */
  readonly smallestLoad: number
  readonly efficiency: number
  /** Volume flow at full load, l/min. */
  readonly nominalFlow: number
  readonly pumpKw: number
  readonly standbyKw: number
  readonly tank: {
    /** kWh/K */
    readonly capacity: number
    readonly target: number
    readonly hysteresis: number
    readonly dailyDrawKwh: number
  }
  /** Running minutes at the worst temperature until the evaporator must be defrosted. */
  readonly frostMinutes: number
  readonly hasCooling: boolean
  /** Constant errors of the probes, K. */
  readonly probeOffset: Float64Array
}

/** kWh per litre of water and K. */
const waterKwh = 1.163e-3
const clamp = (value: number, min: number, max: number) => Math.min(max, Math.max(min, value))

export const makeHome = (random: SeededRandom): Home => {
  const between = (min: number, max: number) => random.uniform(min, max)
  const climate = { mean: between(7.5, 11.5), yearly: between(6, 9.5), daily: between(1.8, 4) }
  const designLoss = clamp(5.1 * Math.exp(0.35 * random.normal()), 2.8, 11)
  const designOutside = between(-10, -2)
  const roomTarget = between(20, 21.5)
  const lossPerK = designLoss / (20.5 - designOutside)
  const isFloorHeating = random.uniform() < 0.6
  const emitterExponent = isFloorHeating ? 1.1 : 1.3
  const designFlow = isFloorHeating ? between(31, 38) : between(38, 48)
  const litres = between(60, 350)
  return {
    climate,
    designLoss,
    lossPerK,
    capacity: lossPerK * between(40, 90),
    heatingLimit: between(15, 17.5),
    roomTarget,
    isFloorHeating,
    emitterExponent,
    emitterFactor: designLoss / (designFlow - 2 - 20.5) ** emitterExponent,
    designFlow,
    designOutside,
    curveOffset: between(0.5, 3),
    waterCapacity: litres * waterKwh,
    nominalHeat: designLoss * between(1.15, 2.2),
    smallestLoad: between(0.24, 0.45),
    efficiency: clamp(0.525 + 0.032 * random.normal(), 0.43, 0.62),
    nominalFlow: (designLoss * 14.34) / between(2.8, 4.8),
    pumpKw: between(0.015, 0.05),
    standbyKw: between(0.01, 0.028),
    tank: {
      capacity: between(180, 300) * waterKwh,
      target: Math.round(between(44, 51)),
      hysteresis: Math.round(between(4, 8)),
      dailyDrawKwh: between(3, 9)
    },
    frostMinutes: between(60, 150),
    hasCooling: isFloorHeating && random.uniform() < 0.6,
    probeOffset: Float64Array.from({ length: 16 }, () => 0.15 * random.normal())
  }
}

/** The flow temperature that heats the building at `outside`, before hysteresis. */
export const flowTarget = (home: Home, outside: number): number => {
  const share = clamp((20.5 - outside) / (20.5 - home.designOutside), 0, 1.3)
  return 20.5 + (home.designFlow - 20.5) * share ** (1 / home.emitterExponent) + home.curveOffset
}

/** One minute each: outdoor temperature of `minutes` minutes from `startMs`. */
export const outdoorTemperature = (
  climate: Home["climate"],
  startMs: number,
  minutes: number,
  region: SeededRandom,
  own: SeededRandom
): Float64Array => {
  const temperature = new Float64Array(minutes)
  const slow = Math.exp(-1 / (60 * 60))
  const fast = Math.exp(-1 / 90)
  const slowGain = Math.sqrt(1 - slow * slow)
  const fastGain = Math.sqrt(1 - fast * fast)
  const sharedShare = Math.sqrt(0.84)
  const ownShare = Math.sqrt(0.16)
  let shared = region.normal()
  let local = own.normal()
  let gust = own.normal()
  let season = 0
  for (let i = 0; i < minutes; i++) {
    const day = (startMs / 60_000 + i) / 1440
    // The year moves by less than the gusts within an hour.
    if (i % 60 === 0) season = climate.yearly * Math.cos((2 * Math.PI * ((day % 365.2425) - 20)) / 365.2425)
    shared = slow * shared + slowGain * region.normal()
    local = slow * local + slowGain * own.normal()
    gust = fast * gust + fastGain * own.normal()
    temperature[i] =
      climate.mean -
      season -
      0.7 * climate.daily * Math.cos(2 * Math.PI * ((day % 1) - 3.5 / 24)) +
      3.2 * (sharedShare * shared + ownShare * local) +
      0.35 * gust
  }
  return temperature
}
