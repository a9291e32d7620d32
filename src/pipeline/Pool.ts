/** What has been pooled, and who gets a model of it. */
import { Clock, Context, Duration, Effect, Layer, Option } from "effect"
import type { InstallationId } from "../domain/InstallationId.js"
import { Store, type StoreError } from "../store/Store.js"

interface PoolOptions {
  readonly minInstallations: number
  /** Records. */
  readonly minDataPoints: number
  /** Since its last submission. */
  readonly eligibility: Duration.Duration
}

/** A sentence as the clients show it. */
interface Sentence {
  readonly en: string
  readonly de: string
}

export interface PoolReport {
  readonly installations: number
  readonly dataPoints: number
  readonly isSufficient: boolean
  readonly message: Sentence
}

/** Anybody may ask, and counting costs the database something. */
const countedAnewAfter = Duration.seconds(1)

const count = new Intl.NumberFormat("en")

const messageOf = (installations: number, dataPoints: number): Sentence =>
  installations === 0 && dataPoints === 0
    ? {
        en: "Data pool is ready. Community models are available.",
        de: "Datenpool ist bereit. Community-Modelle sind verfügbar."
      }
    : {
        en: `Building data pool. Need ${installations} more installations and ~${count.format(dataPoints)} more data points. Data is being collected - thank you for contributing!`,
        de: `Datenpool wird aufgebaut. Benötigt noch ${installations} Installationen und ~${count.format(dataPoints)} Datenpunkte. Daten werden gesammelt - vielen Dank für Ihre Beiträge!`
      }

const make = Effect.fn("Pool.make")(function* (options: PoolOptions) {
  const store = yield* Store
  const report = yield* Effect.cachedWithTTL(
    Effect.map(store.totals, ({ installations, records }): PoolReport => {
      const missing = [
        Math.max(0, options.minInstallations - installations),
        Math.max(0, options.minDataPoints - records)
      ] as const
      return {
        installations,
        dataPoints: records,
        isSufficient: missing[0] + missing[1] === 0,
        message: messageOf(...missing)
      }
    }),
    countedAnewAfter
  )
  const hasContributed = (installation: InstallationId) =>
    Effect.gen(function* () {
      const nowMs = yield* Clock.currentTimeMillis
      const contactMs = yield* store.lastContactMs(installation)
      return Option.exists(contactMs, (ms) => ms >= nowMs - Duration.toMillis(options.eligibility))
    })
  return { report, hasContributed, eligibilityDays: Duration.toDays(options.eligibility) }
})

export class Pool extends Context.Tag("telemetry/pipeline/Pool")<
  Pool,
  {
    readonly report: Effect.Effect<PoolReport, StoreError>
    /** Whether data came from it lately: it is eligible if the pool is sufficient as well. */
    readonly hasContributed: (installation: InstallationId) => Effect.Effect<boolean, StoreError>
    readonly eligibilityDays: number
  }
>() {
  static readonly layer = (options: PoolOptions) => Layer.effect(this, make(options))
}
