/**
 * What the installations with one heat pump model have in common, without telling of any of them: groups below a size
 * are withheld, and quantiles stand for the extremes.
 */
import { Cache, Clock, Context, Duration, Effect, Exit, Layer } from "effect"
import { canonicalModel } from "../domain/ModelName.js"
import { sensors } from "../domain/Sensor.js"
import { type InstallationMeans, Store, type StoreError } from "../store/Store.js"

const window = Duration.hours(24)
const cachedFor = Duration.minutes(1)
const mostCached = 1_000

/** What clients call the coefficient of performance. */
const copNames = new Set(["cop", "cop_current", "cop_instant"])
const heatField = "power_thermal"
const electricityField = "power_current"

interface Average {
  readonly installations: number
  readonly avg: number
  /** 5 % and 95 % quantile over installations. */
  readonly low: number
  readonly high: number
}

/** Linear between the order statistics: numpy's default. @param sorted ascending, not empty */
const quantile = (sorted: ReadonlyArray<number>, share: number): number => {
  const at = share * (sorted.length - 1)
  const below = sorted[Math.floor(at)]!
  return below + (sorted[Math.ceil(at)]! - below) * (at % 1)
}

const sum = (values: ReadonlyArray<number>) => values.reduce((total, value) => total + value, 0)

const average = (values: ReadonlyArray<number>, avg: number): Average | undefined => {
  if (values.length === 0) return undefined
  const sorted = [...values].sort((a, b) => a - b)
  return { installations: sorted.length, avg, low: quantile(sorted, 0.05), high: quantile(sorted, 0.95) }
}

const averageOf = (means: InstallationMeans, field: string) => {
  const values = [...means.values()].flatMap((fields) => fields.get(field) ?? [])
  return average(values, sum(values) / values.length)
}

/** Mean powers over the same day are to one another as energies are: Σ heat / Σ electricity, never a mean of ratios. */
const coefficientOfPerformance = (means: InstallationMeans) => {
  const homes = [...means.values()].flatMap((fields) => {
    const heat = fields.get(heatField)
    const electricity = fields.get(electricityField)
    return heat === undefined || electricity === undefined || electricity <= 0 || heat < 0
      ? []
      : [{ heat, electricity }]
  })
  const ratios = homes.map(({ electricity, heat }) => heat / electricity)
  return average(ratios, sum(homes.map(({ heat }) => heat)) / sum(homes.map(({ electricity }) => electricity)))
}

const make = Effect.fn("Averages.make")(function* (minGroup: number) {
  const store = yield* Store
  // Of the embedded store, whose answers cost it much.
  const oneAtATime = yield* Effect.makeSemaphore(1)
  const lookup = Effect.fn("Averages.lookup")(function* (key: string) {
    const [model = "", metric = ""] = key.split("\n")
    const untilMs = yield* Clock.currentTimeMillis
    const fields = copNames.has(metric) ? [heatField, electricityField] : [metric]
    const means = yield* store.means({
      model: canonicalModel(model),
      fields: fields.map((name) => ({ name, absent: sensors.get(name)?.absent ?? [] })),
      fromMs: untilMs - Duration.toMillis(window),
      untilMs
    })
    const found = copNames.has(metric) ? coefficientOfPerformance(means) : averageOf(means, metric)
    return found === undefined || found.installations < minGroup ? undefined : found
  }, oneAtATime.withPermits(1))
  const cache = yield* Cache.makeWith({
    capacity: mostCached,
    lookup,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? cachedFor : Duration.zero)
  })
  return {
    // Others may wait for the same answer when the client that asked first hangs up.
    of: (model: string, metric: string) => Effect.uninterruptible(cache.get(`${canonicalModel(model)}\n${metric}`))
  }
})

export class Averages extends Context.Tag("telemetry/pipeline/Averages")<
  Averages,
  {
    /** Over the last 24 hours; undefined when too few installations have it. */
    readonly of: (model: string, metric: string) => Effect.Effect<Average | undefined, StoreError>
  }
>() {
  static readonly layer = (minGroup: number) => Layer.effect(this, make(minGroup))
}
