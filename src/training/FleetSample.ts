/**
 * Reads a fleet once, home by home, and keeps of it what a fit needs: a stratified sample, the coverage of sensors,
 * counts and a fingerprint. Memory: one installation, and the sample.
 */
import { createHash } from "node:crypto"
import { Data, Effect } from "effect"
import { modes, statusSensor } from "../domain/Mode.js"
import { canonicalModel } from "../domain/ModelName.js"
import type { Dataset, DatasetRange, DatasetUnreadable, KnownModel } from "./Dataset.js"
import { scoredSensors } from "./FeatureNames.js"
import type { InstallationRecords } from "./InstallationRecords.js"
import { measurementsOf } from "./Measurements.js"
import { modesOfRecords } from "./ModesOfRecords.js"
import type { OnProgress } from "./Progress.js"
import { type SampledRecords, sampleRecords } from "./Sampling.js"
import { type CoveredSensor, SensorCoverage } from "./SensorCoverage.js"

/** Too few homes or records to learn what is normal of: nothing was trained. */
export class NotEnoughData extends Data.TaggedError("NotEnoughData")<{ readonly message: string }> {}

export interface FleetOptions {
  readonly model: string
  readonly range: DatasetRange
  readonly minInstallations: number
  /** Records in a mode, over all installations. */
  readonly minPoints: number
  readonly seed: number
}

/** Of each mode, over the whole fleet: more add hours, and nothing to a model. */
const rowsPerMode = 50_000

export interface FleetSample {
  /** Ids of the installations that have records in a mode, sorted. */
  readonly installations: ReadonlyArray<string>
  /** Records by position in `modes`. */
  readonly recordsByMode: ReadonlyArray<number>
  readonly firstMs: number
  readonly lastMs: number
  /** SHA-256 of every sample that was read, in hex. */
  readonly fingerprint: string
  readonly coverage: ReadonlyArray<CoveredSensor>
  /** What a model may use. */
  readonly sensors: ReadonlyArray<string>
  /** One per heat pump. */
  readonly heatpumps: ReadonlyArray<SampledRecords>
  /** The installation of each heat pump. */
  readonly owners: ReadonlyArray<string>
}

const count = new Intl.NumberFormat("en")

export const knownModels = (known: ReadonlyArray<KnownModel>): string =>
  known.length === 0
    ? "no model has any"
    : `known models: ${known.map(({ installations, model }) => `${model} (${count.format(installations)})`).join(", ")}`

/** Levenshtein's distance, without regard to case. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1]!.toLowerCase() === b[j - 1]!.toLowerCase()
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (isSame ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

const suggestion = (model: string, known: ReadonlyArray<KnownModel>): string => {
  const near = known
    .map((one) => ({ name: one.model, steps: distance(model, one.model) }))
    .filter(({ name, steps }) => steps <= Math.max(2, name.length / 3))
    .sort((a, b) => a.steps - b.steps)
  return near.length === 0 ? "" : `did you mean ${near[0]!.name}? `
}

const digest = (hash: ReturnType<typeof createHash>, records: InstallationRecords): void => {
  const bytes = ({ buffer, byteLength, byteOffset }: Float64Array) => new Uint8Array(buffer, byteOffset, byteLength)
  hash.update(`${records.installationId} ${records.heatpumpId ?? ""} ${records.timestampsMs.length}\n`)
  hash.update(bytes(records.timestampsMs))
  for (const [name, values] of records.columns) hash.update(`${name}\n`).update(bytes(values))
}

export const readFleet = Effect.fn("FleetSample.read")(function* (
  dataset: Dataset,
  options: FleetOptions,
  onProgress: OnProgress
) {
  const { minInstallations, minPoints, range, seed } = options
  const model = canonicalModel(options.model)
  const all = yield* dataset.installations(model, range)
  if (all.length === 0) {
    const known = yield* dataset.models
    const message = `there are no data of ${model} in ${dataset.source}; ${suggestion(model, known)}${knownModels(known)}`
    return yield* new NotEnoughData({ message })
  }

  const sensors = new Set([...scoredSensors, statusSensor])
  const coverage = new SensorCoverage()
  const hash = createHash("sha256")
  const recordsByMode = modes.map(() => 0)
  const installations: Array<string> = []
  const heatpumps: Array<SampledRecords> = []
  const owners: Array<string> = []
  let firstMs = Number.POSITIVE_INFINITY
  let lastMs = Number.NEGATIVE_INFINITY
  let records = 0
  for (const [i, installationId] of all.entries()) {
    const loaded = yield* dataset.load(installationId, model, range, sensors)
    for (const one of loaded) digest(hash, one)
    const usable = loaded.map(measurementsOf).flatMap((heatpump) => {
      const codes = modesOfRecords(heatpump)
      let counted = 0
      for (const code of codes) {
        if (code < 0) continue
        recordsByMode[code]!++
        counted++
      }
      return counted === 0 ? [] : [heatpump]
    })
    const share = Math.max(1, Math.floor(rowsPerMode / all.length / Math.max(1, usable.length)))
    for (const heatpump of usable) {
      coverage.add(heatpump)
      heatpumps.push(sampleRecords(heatpump, { share, seed }))
      owners.push(installationId)
      firstMs = Math.min(firstMs, heatpump.timestampsMs[0]!)
      lastMs = Math.max(lastMs, heatpump.timestampsMs.at(-1)!)
      records += heatpump.timestampsMs.length
    }
    if (usable.length > 0) installations.push(installationId)
    yield* onProgress({ step: "loading", done: i + 1, total: all.length, records })
  }

  const points = recordsByMode.reduce((sum, n) => sum + n, 0)
  if (installations.length < minInstallations || points < minPoints) {
    const known = yield* dataset.models
    const of = (n: number, least: number) => `${count.format(n)} of ${count.format(least)}`
    const message = `not enough data of ${model}: ${of(installations.length, minInstallations)} installations, ${of(points, minPoints)} points; ${knownModels(known)}`
    return yield* new NotEnoughData({ message })
  }
  const sample: FleetSample = {
    installations,
    recordsByMode,
    firstMs,
    lastMs,
    fingerprint: hash.digest("hex"),
    coverage: coverage.all(),
    sensors: coverage.fleetSensors(),
    heatpumps,
    owners
  }
  return sample
}) satisfies (...args: never) => Effect.Effect<FleetSample, DatasetUnreadable | NotEnoughData>
