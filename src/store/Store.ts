import { Context, Data, type Effect, type Option, type Stream } from "effect"
import type { Block } from "../domain/Block.js"
import type { InstallationId } from "../domain/InstallationId.js"
import type { ModelName } from "../domain/ModelName.js"

/** No room for another block. Nothing was stored; everything stored before is untouched. */
export class StoreFull extends Data.TaggedError("StoreFull")<{
  readonly detail: string
  readonly retryAfterSeconds: number
}> {}

/** The store did not do what it was asked. A failed append stored nothing. */
export class StoreError extends Data.TaggedError("StoreError")<{
  readonly operation: string
  readonly cause: unknown
}> {
  override get message() {
    return `the store failed to ${this.operation}`
  }
}

/** What became of an appended block: a duplicate has been stored before, an erased home's is never stored again. */
export type Appended = "stored" | "duplicate" | "erased"

/** What is stored of one home. */
export interface InstallationSummary {
  readonly id: string
  readonly lastReceivedMs: number | undefined
  /** As counted on arrival. Undefined where nobody has: written by another program, or longer ago than the retention. */
  readonly records: number | undefined
  readonly samples: number | undefined
}

export interface Totals {
  readonly installations: number
  readonly blocks: number
  /** Records of single heat pumps: one record of a home with two counts twice. */
  readonly records: number
  readonly samples: number
  readonly lastReceivedMs: number | undefined
  readonly bytesOnDisk: number
}

/** One record read back: the samples of one source at one time. */
export interface StoredRecord {
  readonly timestampMs: number
  /** Tags as stored: `model`, `version`, and `heatpump_id`, `manufacturer` of the nested shape. */
  readonly tags: ReadonlyMap<string, string>
  readonly values: ReadonlyMap<string, number>
}

export interface TimeRange {
  /** Inclusive. */
  readonly fromMs?: number
  /** Exclusive. */
  readonly untilMs?: number
}

/** Means over the installations with heat pumps of one model. */
export interface MeansQuery extends Required<TimeRange> {
  readonly model: ModelName
  /** `absent`: values that are no measurement, and left out. */
  readonly fields: ReadonlyArray<{ readonly name: string; readonly absent: ReadonlyArray<number> }>
}

/** By installation, then by field; an installation or a field without samples is not there. */
export type InstallationMeans = ReadonlyMap<string, ReadonlyMap<string, number>>

/**
 * The port to whatever keeps the samples.
 *
 * Contract, checked by `test/support/storeContract.ts` against every implementation:
 * - `append` is all or nothing and returns only when the blocks survive a crash and a power cut. It answers in the
 *   order of its argument. A block whose digest the installation already has is a duplicate; one may follow in the same
 *   call.
 * - `read` gives every record once, in an order of the implementation's own, and is a snapshot of no particular moment
 *   while others append.
 * - `means` is one query. It may see what was appended some seconds later, and may be of a sample of the installations.
 * - After `erase` nothing of the installation can be read, no byte of it is left on disk, and its blocks are refused
 *   for ever. What a restored backup brings back of it is erased again: at the start, and within a day.
 */
export class Store extends Context.Tag("telemetry/store/Store")<
  Store,
  {
    readonly append: (blocks: ReadonlyArray<Block>) => Effect.Effect<ReadonlyArray<Appended>, StoreFull | StoreError>
    /** Succeeds while `append` can be expected to. */
    readonly ready: Effect.Effect<void, StoreFull | StoreError>
    /** Installations that were heard of at or after `sinceMs`. */
    readonly activeInstallations: (sinceMs: number) => Effect.Effect<number, StoreError>
    /** Whether this collector has stored anything of it lately; asks nobody else. */
    readonly knows: (installation: InstallationId) => Effect.Effect<boolean, StoreError>
    readonly installations: Effect.Effect<ReadonlyArray<InstallationSummary>, StoreError>
    /**
     * When the oldest sample was made, or, behind a database, when the oldest block was received: Unix milliseconds.
     */
    readonly oldestMs: Effect.Effect<number | undefined, StoreError>
    readonly lastContactMs: (installation: InstallationId) => Effect.Effect<Option.Option<number>, StoreError>
    /** The heat pump model that it submitted last; of several heat pumps, of any. */
    readonly lastModel: (installation: InstallationId) => Effect.Effect<Option.Option<string>, StoreError>
    readonly means: (query: MeansQuery) => Effect.Effect<InstallationMeans, StoreError>
    readonly totals: Effect.Effect<Totals, StoreError>
    readonly read: (installation: InstallationId, range?: TimeRange) => Stream.Stream<StoredRecord, StoreError>
    /** Returns the number of blocks erased. */
    readonly erase: (installation: InstallationId) => Effect.Effect<number, StoreError>
    /**
     * Names of the files that repairs have set aside. They hold homes' data, and erasing one home does not reach them.
     */
    readonly damagedFiles: Effect.Effect<ReadonlyArray<string>, StoreError>
    readonly deleteDamagedFiles: Effect.Effect<void, StoreError>
  }
>() {}
