/** Embedded stores as a power cut and a stop leave them, to be damaged. */
import { createHash } from "node:crypto"
import { cpSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { beforeAll } from "@effect/vitest"
import { Duration, Effect, Stream } from "effect"
import { layerEmbeddedStore } from "../../src/store/EmbeddedStore.js"
import { openSqlite } from "../../src/store/Sqlite.js"
import { Store } from "../../src/store/Store.js"
import { noisyBlock } from "./blocks.js"
import { installationOf } from "./storeHomes.js"

const nowMs = Date.now()
const homes = [1, 2, 3].map(installationOf)

export const fileIn = (directory: string) => join(directory, "telemetry.sqlite")
export const logIn = (directory: string) => `${fileIn(directory)}-wal`

export const layerIn = (directory: string) =>
  layerEmbeddedStore({ file: fileIn(directory), retention: Duration.days(365), minFreeDiskBytes: 2 ** 26 })

/** What can be read: one digest per home over its records, and their number. */
export const contents = Effect.gen(function* () {
  const store = yield* Store
  const { blocks } = yield* store.totals
  const records = yield* Effect.forEach(homes, (home) =>
    Effect.map(Stream.runCollect(store.read(home)), (records) =>
      Array.from(records, ({ tags, timestampMs, values }) =>
        JSON.stringify([[...tags], timestampMs, [...values]])
      ).sort()
    )
  )
  return { blocks, records: records.map((lines) => createHash("sha256").update(lines.join()).digest("hex")) }
})

const make = async (freshDirectory: () => string) => {
  const sizes = [1, 1, 8, 2, 20, 1]
  const noisy = await Promise.all(
    Array.from({ length: 30 }, (_, i) => noisyBlock(homes[i % 3]!, i, sizes[i % 6]!, nowMs))
  )
  const large = await noisyBlock(homes[0]!, 30, 40, nowMs)
  const [closed, crashed, half] = [freshDirectory(), freshDirectory(), freshDirectory()]
  const { behind, expected } = await Effect.gen(function* () {
    const store = yield* Store
    for (const block of noisy.slice(0, 15)) yield* store.append([block])
    cpSync(closed, half, { recursive: true })
    // Writes its log back.
    yield* Effect.scoped(openSqlite(fileIn(half)))
    const behind = readFileSync(fileIn(half))
    for (const block of noisy.slice(15)) yield* store.append([block])
    yield* store.append([large])
    const expected = yield* contents
    cpSync(closed, crashed, { recursive: true })
    return { behind, expected }
  }).pipe(Effect.provide(layerIn(closed)), Effect.runPromise)
  // What the log was opened with, however much of it had been written back by then.
  rmSync(`${fileIn(crashed)}-shm`)
  return {
    stored: [...noisy, large],
    /** A block that comes later. */
    late: await noisyBlock(installationOf(9), 99, 1, nowMs),
    /** As a power cut leaves it: the first half of the blocks in the file, all of them in the log. */
    crashed,
    /** As a stop leaves it. */
    closed,
    /** The file when half of the blocks were in it. */
    behind,
    /** What can be read of all. */
    expected
  }
}

/** For one test file, which calls it while it loads; to be asked within its tests. */
export const crashedStores = (freshDirectory: () => string) => {
  let made: Awaited<ReturnType<typeof make>> | undefined
  beforeAll(async () => {
    made = await make(freshDirectory)
  })
  return () => made!
}
