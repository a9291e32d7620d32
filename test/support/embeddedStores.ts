import { join } from "node:path"
import { assert } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Stream } from "effect"
import type { Block } from "../../src/domain/Block.js"
import { type EmbeddedStoreOptions, layerEmbeddedStore } from "../../src/store/EmbeddedStore.js"
import { Store } from "../../src/store/Store.js"
import { blockOf } from "./blocks.js"
import { installationOf } from "./storeHomes.js"

export const options = (directory: string, others: Partial<EmbeddedStoreOptions> = {}): EmbeddedStoreOptions => ({
  file: join(directory, "telemetry.sqlite"),
  retention: Duration.days(365),
  minFreeDiskBytes: 0,
  ...others
})
const silent = Logger.remove(Logger.defaultLogger)
export const opened = (directory: string, others: Partial<EmbeddedStoreOptions> = {}) =>
  Effect.provide(Layer.provide(layerEmbeddedStore(options(directory, others)), silent))

export const nowMs = Date.now()
export const dayMs = 86_400_000

/** Blocks whose every record has `value`; `noise` more fields are random, so that they hardly compress. */
export const blockAt = (home: number, value: number, timestampsMs: ReadonlyArray<number> = [nowMs], noise = 0) =>
  Effect.promise(() =>
    blockOf(
      {
        installation_id: installationOf(home),
        data: timestampsMs.map((ms) => ({
          timestamp: ms / 1000,
          value,
          ...Object.fromEntries(Array.from({ length: noise }, (_, i) => [`noise_${i}`, Math.random()]))
        }))
      },
      nowMs
    )
  )
export const append = (...blocks: ReadonlyArray<Block>) => Effect.flatMap(Store, (store) => store.append(blocks))
export const totals = Effect.flatMap(Store, (store) => store.totals)
export const valuesOf = (home: number) =>
  Effect.gen(function* () {
    const store = yield* Store
    return Array.from(yield* Stream.runCollect(store.read(installationOf(home))), ({ values }) => values.get("value"))
  })

/** Real time, whatever the test's clock. */
export const wait = (ms: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, ms)))
export const eventually = <E, R>(isSo: Effect.Effect<boolean, E, R>) =>
  isSo.pipe(
    Effect.zipLeft(wait(5)),
    Effect.repeat({ until: (so) => so, times: 400 }),
    Effect.map((so) => assert.isTrue(so, "it never came to be"))
  )
