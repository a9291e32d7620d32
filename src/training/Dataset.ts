/** Where training data come from: one heat pump model, one installation at a time, so memory is bounded by one home. */
import { Data, type Effect } from "effect"
import { canonicalModel } from "../domain/ModelName.js"
import type { InstallationRecords } from "./InstallationRecords.js"

/** The data cannot be read, or not in full: a model of a part of them would be worse than none. */
export class DatasetUnreadable extends Data.TaggedError("DatasetUnreadable")<{
  readonly source: string
  readonly reason: string
  readonly cause?: unknown
}> {
  override get message() {
    return `cannot read the training data from ${this.source}: ${this.reason}`
  }
}

export interface KnownModel {
  readonly model: string
  readonly installations: number
}

export interface DatasetRange {
  /** Inclusive. */
  readonly fromMs: number
  /** Exclusive. */
  readonly untilMs: number
}

/**
 * Contract, checked against every implementation by `test/training/Dataset.test.ts`:
 * - Model names are compared in their canonical spelling, where a space is an underscore.
 * - The same samples give the same records, whatever the order in which they arrived; see `RecordJoiner`.
 * - Reading changes nothing, and does not disturb who writes meanwhile.
 */
export interface Dataset {
  /** For people: what is read. */
  readonly source: string
  /** All models with data, the most installations first. */
  readonly models: Effect.Effect<ReadonlyArray<KnownModel>, DatasetUnreadable>
  /** The time of the newest sample, if the source knows better than the clock: `range` counts from it. */
  readonly newestMs: number | undefined
  /** Ids of the installations with data of a model, sorted. */
  readonly installations: (
    model: string,
    range: DatasetRange
  ) => Effect.Effect<ReadonlyArray<string>, DatasetUnreadable>
  /** One entry per heat pump of that model, by heat pump id; of `sensors` only. */
  readonly load: (
    installationId: string,
    model: string,
    range: DatasetRange,
    sensors: ReadonlySet<string>
  ) => Effect.Effect<ReadonlyArray<InstallationRecords>, DatasetUnreadable>
}

export const isSameModel = (a: string, b: string): boolean => canonicalModel(a) === canonicalModel(b)

/** Most installations first, then by name. */
export const countModels = (
  pairs: Iterable<readonly [model: string, installationId: string]>
): ReadonlyArray<KnownModel> => {
  const homes = new Map<string, Set<string>>()
  for (const [model, installationId] of pairs) {
    const name = canonicalModel(model)
    homes.set(name, (homes.get(name) ?? new Set()).add(installationId))
  }
  return [...homes]
    .map(([model, ids]) => ({ model, installations: ids.size }))
    .sort((a, b) => b.installations - a.installations || (a.model < b.model ? -1 : 1))
}
