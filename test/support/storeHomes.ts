/**
 * Homes, what they send and what reading gives for it.
 *
 * Batches of one home never share a timestamp, so that a database that identifies samples by series and time can pass.
 */
import { it } from "@effect/vitest"
import { Effect, type Layer, Stream } from "effect"
import type { Block } from "../../src/domain/Block.js"
import { InstallationId } from "../../src/domain/InstallationId.js"
import { Store, type StoredRecord, type TimeRange } from "../../src/store/Store.js"
import { blockOf } from "./blocks.js"
import { type JumpingClock, makeJumpingClock } from "./clock.js"

export const startMs = Math.floor(Date.now() / 60_000) * 60_000
export const minuteMs = 60_000
export const hourMs = 60 * minuteMs

export const installationOf = (n: number) =>
  InstallationId.make(`3f2b8c1e-9a47-4d0e-8b65-${String(n).padStart(12, "0")}`)

/** Batch `number` of a home begins `number` hours after the first, three days ago, and has a record a minute. */
export const timestampOf = (number: number, record: number) =>
  startMs - 72 * hourMs + number * hourMs + record * minuteMs

/** `value` is in every record and differs from one batch to the next. */
export const bodyOf = (home: number, number: number, records: number) => ({
  installation_id: installationOf(home),
  heatpump_model: "AERO SLM",
  version: "1.0.1",
  data: Array.from({ length: records }, (_, i) => ({
    timestamp: timestampOf(number, i) / 1000,
    temp_outside: -1,
    value: number + i / 8
  }))
})
export const batch = (home: number, number: number, records = 3) =>
  Effect.promise(() => blockOf(bodyOf(home, number, records), startMs))

/** What reading gives for it. */
export const recordsOf = (number: number, records = 3) =>
  Array.from({ length: records }, (_, i) => ({
    timestampMs: timestampOf(number, i),
    tags: { model: "AERO_SLM", version: "1.0.1" },
    values: { temp_outside: -1, value: number + i / 8 }
  }))

export const plain = ({ tags, timestampMs, values }: StoredRecord) => ({
  timestampMs,
  tags: Object.fromEntries(tags),
  values: Object.fromEntries(values)
})

/** In the order in which they come. */
export const read = (home: number, range?: TimeRange) =>
  Effect.gen(function* () {
    const store = yield* Store
    return Array.from(yield* Stream.runCollect(store.read(installationOf(home), range)), plain)
  })

/** For tests that do not care for the order. */
export const readByTime = (home: number, range?: TimeRange) =>
  Effect.map(read(home, range), (records) => records.sort((a, b) => a.timestampMs - b.timestampMs))

export const append = (...blocks: ReadonlyArray<Block>) => Effect.flatMap(Store, (store) => store.append(blocks))

/** Tests of a store under a clock of their own, whose titles begin with `name`. */
export const checkOn =
  <E>(name: string, layer: () => Layer.Layer<Store, E>) =>
  <A, F>(title: string, body: (clock: JumpingClock) => Effect.Effect<A, F, Store>) =>
    it.live(`${name}: ${title}`, () => {
      const clock = makeJumpingClock(startMs)
      return Effect.suspend(() => body(clock)).pipe(Effect.provide(layer()), Effect.withClock(clock.clock))
    })
