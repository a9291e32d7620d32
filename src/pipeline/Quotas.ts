import { Clock, Context, Data, Effect, Layer } from "effect"
import type { RawAddress } from "../domain/Address.js"
import type { Submission } from "../domain/Submission.js"
import { Store, type StoreError } from "../store/Store.js"
import { Mask } from "./Mask.js"
import { TokenBuckets } from "./TokenBuckets.js"

/** More than one home, or one address, may do. */
export class QuotaExceeded extends Data.TaggedError("QuotaExceeded")<{
  readonly detail: string
  readonly retryAfterSeconds: number
}> {}

interface QuotaOptions {
  readonly installationSamplesPerHour: number
  readonly addressRequestsPerHour: number
  readonly addressNewInstallationsPerHour: number
}

/**
 * On top of the one that every request counts: guessing tokens and sending rubbish is the quickest way to the limit.
 */
const refusedCounts = 9

/**
 * What a well-behaved home never reaches, and a runaway or a flood soon does. Addresses are known by a digest that is
 * forgotten with the day.
 */
export class Quotas extends Context.Tag("telemetry/pipeline/Quotas")<
  Quotas,
  {
    /** Before anything else is done for a request. */
    readonly request: (address: RawAddress) => Effect.Effect<void, QuotaExceeded>
    /** The request was the client's mistake. */
    readonly refused: (address: RawAddress) => Effect.Effect<void>
    /** @param address undefined for what this machine itself sends */
    readonly submission: (
      submission: Submission,
      address: RawAddress | undefined
    ) => Effect.Effect<void, QuotaExceeded | StoreError>
  }
>() {
  static readonly layer = (options: QuotaOptions) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const store = yield* Store
        const mask = yield* Mask
        const samples = new TokenBuckets(options.installationSamplesPerHour)
        const requests = new TokenBuckets(options.addressRequestsPerHour)
        const newcomers = new TokenBuckets(options.addressNewInstallationsPerHour)

        const given = (waitSeconds: number, what: string) =>
          waitSeconds === 0
            ? Effect.void
            : new QuotaExceeded({ detail: `Too many ${what}, please retry later`, retryAfterSeconds: waitSeconds })

        const request = (address: RawAddress) =>
          Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
            given(requests.take(mask.digest(address, nowMs), 1, nowMs), "requests from this address")
          )
        const refused = (address: RawAddress) =>
          Effect.map(Clock.currentTimeMillis, (nowMs) =>
            requests.charge(mask.digest(address, nowMs), refusedCounts, nowMs)
          )

        const submission = Effect.fn("Quotas.submission")(function* (
          { installationId, readings }: Submission,
          address: RawAddress | undefined
        ) {
          const nowMs = yield* Clock.currentTimeMillis
          let count = 0
          for (const reading of readings) count += reading.samples
          yield* given(samples.take(installationId, count, nowMs), "samples of this installation")
          if (address !== undefined && !(yield* store.knows(installationId))) {
            yield* given(newcomers.take(mask.digest(address, nowMs), 1, nowMs), "new installations from this address")
          }
        })
        return { request, refused, submission }
      })
    )
}
