import { Clock, Duration, Effect, Layer, Option, Schedule } from "effect"
import { blockMeans } from "./BlockMeans.js"
import { type BlockTableOptions, openBlockTable } from "./BlockTable.js"
import { Store } from "./Store.js"

export interface EmbeddedStoreOptions extends BlockTableOptions {
  /** Blocks whose last sample is older are removed. */
  readonly retention: Duration.Duration
}

const retentionEvery = Schedule.spaced("1 hour")

/** Every sample in one SQLite file; needs no other service. Reads in order of arrival. */
const make = Effect.fn("EmbeddedStore.make")(function* (options: EmbeddedStoreOptions) {
  const table = yield* openBlockTable(options)

  const enforceRetention = Effect.gen(function* () {
    const nowMs = yield* Clock.currentTimeMillis
    const removed = yield* table.remove("last_timestamp_ms < ?", nowMs - Duration.toMillis(options.retention))
    if (removed > 0) yield* Effect.logInfo("removed blocks older than the retention", { blocks: removed })
  })
  yield* table.upkeep(enforceRetention, retentionEvery)

  return Store.of({
    append: table.append,
    ready: table.ready,
    activeInstallations: (sinceMs) => Effect.map(table.activeIds(sinceMs), ({ length }) => length),
    knows: (installation) => Effect.map(table.lastContactMs(installation), Option.isSome),
    installations: table.installations,
    oldestMs: table.oldestMs,
    lastContactMs: table.lastContactMs,
    lastModel: table.lastModel,
    means: blockMeans(table),
    totals: table.totals,
    read: table.read,
    erase: table.erase,
    damagedFiles: table.damagedFiles,
    deleteDamagedFiles: table.deleteDamagedFiles
  })
})

/** Fails with `DatabaseUnusable` where the file is not ours, or cannot be used; damage is repaired. */
export const layerEmbeddedStore = (options: EmbeddedStoreOptions) => Layer.scoped(Store, make(options))
