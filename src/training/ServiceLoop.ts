/**
 * The ml-service's loop, emulated: what it sees of a home, what it makes of a score, and that it learns everything.
 *
 * Every 30 s the service takes the newest value of each sensor, derives its features, picks the detector of the mode,
 * scores and then learns. Loggers write every 60 s, so each record is scored and learned twice, the second time with
 * deltas of 0. An anomaly is a score above 0.7 three times in a row; after one, the service stays silent for an hour.
 * A query reaches back 5 min (VictoriaMetrics' default), so a sensor that is missing in one record keeps its value, and
 * a gap in the data is a pause: nothing is scored, and the count goes on where it was.
 *
 * Derived features follow the rules of `FeatureNames`, a delta against the last poll.
 */
import { type Mode, modeOfStatus, modes, statusSensor } from "../domain/Mode.js"
import type { Detector } from "./Detector.js"
import {
  copFeature,
  deltaRoot,
  flowSensors,
  returnSensors,
  smallestPowerKw,
  spreadFeature,
  timeFeatures
} from "./FeatureNames.js"
import type { HomeRecords } from "./HomeRecords.js"
import { timeFeature } from "./TimeFeature.js"

export const pollMs = 30_000
/** The service's clock and the logger's are not aligned; polls come this long after the first record. */
const pollOffsetMs = 15_000
export const lookBackMs = 300_000
const hourMs = 3_600_000
/** Nobody needs more polls at once: 28 MB of 120 features. */
export const mostReadMs = 10 * 24 * hourMs

export const alarmScore = 0.7
export const alarmCount = 3
export const cooldownMs = hourMs

/** What the service sees of a home, poll by poll. */
export interface Sightings {
  readonly features: ReadonlyArray<string>
  readonly timesMs: Float64Array
  /** Position in `modes`, or -1 while defrosting, which the service skips. */
  readonly modes: Int8Array
  /** 1 when the poll is the first that sees its record, 0 when it sees the same again. */
  readonly isNew: Uint8Array
  /** One row of `features` per poll; NaN is missing. */
  readonly values: Float64Array
}

/** The sensors that a feature is made of when it is not a sensor itself. */
const derivedInputs: ReadonlyMap<string, ReadonlyArray<string>> = new Map<string, ReadonlyArray<string>>([
  [spreadFeature, [...flowSensors, ...returnSensors]],
  [copFeature, ["power_thermal", "power_current"]],
  ...timeFeatures.map((name) => [name, []] as const)
])

type Read = (column: string) => number

const firstPresent = (names: ReadonlyArray<string>, read: Read): number => {
  for (const name of names) {
    const value = read(name)
    if (value !== 0 && !Number.isNaN(value)) return value
  }
  return Number.NaN
}

/** One feature that is not a sensor, from the values at one poll. */
const derive = (name: string, timeMs: number, read: Read): number => {
  if (name === spreadFeature) return firstPresent(flowSensors, read) - firstPresent(returnSensors, read)
  if (name === copFeature) {
    const [heat, power] = [read("power_thermal"), read("power_current")]
    if (Number.isNaN(heat) || Number.isNaN(power)) return Number.NaN
    return power > smallestPowerKw ? heat / power : 0
  }
  return timeFeature(name)?.(timeMs) ?? Number.NaN
}

/** The fields that `features` are made of, and the status that tells the mode. */
export const fieldsOf = (features: ReadonlyArray<string>): ReadonlyArray<string> => {
  const roots = features.map((name) => deltaRoot(name) ?? name)
  return [...new Set([...roots.flatMap((name) => derivedInputs.get(name) ?? [name]), statusSensor])]
}

/** The polls of a home, in order of time. */
export interface Polls {
  /** Of the next poll; infinite when there is none. */
  readonly nextMs: () => number
  /** Those behind `rest` that come before a time, behind `rest`. */
  readonly read: (untilMs: number, rest?: Sightings) => Sightings
}

/**
 * The polls of a home, or of one episode of it, read as far as they are asked for: those of a year are a gigabyte.
 * `first` is a poll's time to keep in step with an earlier run; by default polling begins with the records.
 */
export const pollsOf = (home: HomeRecords, features: ReadonlyArray<string>, first?: number): Polls => {
  const { timestampsMs } = home
  const count = timestampsMs.length
  const startMs = first ?? (timestampsMs[0] ?? 0) + pollOffsetMs
  const polls = count === 0 ? 0 : Math.max(0, Math.ceil((timestampsMs[count - 1]! + 2 * pollMs - startMs) / pollMs))
  const width = features.length

  const fields = fieldsOf(features)
  const columns = fields.map((name) => home.columns.get(name))
  const newest = new Float64Array(fields.length).fill(Number.NaN)
  const newestMs = new Float64Array(fields.length).fill(Number.NEGATIVE_INFINITY)
  const fieldIndex = new Map(fields.map((name, i) => [name, i]))
  const statusIndex = fieldIndex.get(statusSensor)!
  let nowMs = startMs
  const readField = (i: number) => (nowMs - newestMs[i]! <= lookBackMs ? newest[i]! : Number.NaN)
  const readName: Read = (name) => readField(fieldIndex.get(name)!)
  const plan = features.map((name) => {
    const deltaOf = deltaRoot(name)
    const root = deltaOf ?? name
    return { root, isDelta: deltaOf !== undefined, field: derivedInputs.has(root) ? -1 : fieldIndex.get(root)! }
  })
  const previous = new Float64Array(width).fill(Number.NaN)

  let poll = 0
  let next = 0
  const none: Sightings = {
    features,
    timesMs: new Float64Array(),
    modes: new Int8Array(),
    isNew: new Uint8Array(),
    values: new Float64Array()
  }
  const read: Polls["read"] = (untilMs, rest = none) => {
    const end = Math.min(polls, Math.ceil((untilMs - startMs) / pollMs))
    if (end <= poll) return rest
    const most = rest.timesMs.length + end - poll
    const timesMs = new Float64Array(most)
    const modeOf = new Int8Array(most)
    const isNew = new Uint8Array(most)
    const values = new Float64Array(most * width)
    timesMs.set(rest.timesMs)
    modeOf.set(rest.modes)
    isNew.set(rest.isNew)
    values.set(rest.values)
    let kept = rest.timesMs.length
    for (; poll < end; poll++) {
      nowMs = startMs + poll * pollMs
      const before = next
      for (; next < count && timestampsMs[next]! <= nowMs; next++) {
        for (let f = 0; f < columns.length; f++) {
          const value = columns[f]?.[next]
          if (value === undefined || Number.isNaN(value)) continue
          newest[f] = value
          newestMs[f] = timestampsMs[next]!
        }
      }
      const status = readField(statusIndex)
      if (next === 0 || nowMs - timestampsMs[next - 1]! > lookBackMs || Number.isNaN(status)) continue
      const mode = modeOfStatus(status)
      timesMs[kept] = nowMs
      modeOf[kept] = mode === undefined ? -1 : modes.indexOf(mode)
      isNew[kept] = next > before ? 1 : 0
      for (let k = 0; k < width; k++) {
        const { root, isDelta, field } = plan[k]!
        const value = field >= 0 ? readField(field) : derive(root, nowMs, readName)
        if (isDelta) {
          values[kept * width + k] = value - previous[k]!
          if (!Number.isNaN(value)) previous[k] = value
        } else values[kept * width + k] = value
      }
      kept++
    }
    return {
      features,
      timesMs: timesMs.subarray(0, kept),
      modes: modeOf.subarray(0, kept),
      isNew: isNew.subarray(0, kept),
      values: values.subarray(0, kept * width)
    }
  }
  return { nextMs: () => (poll < polls ? startMs + poll * pollMs : Number.POSITIVE_INFINITY), read }
}

/** All polls at once. */
export const sightingsOf = (home: HomeRecords, features: ReadonlyArray<string>, first?: number): Sightings =>
  pollsOf(home, features, first).read(Number.POSITIVE_INFINITY)

/** All but the first polls. */
export const sightingsFrom = ({ features, isNew, modes, timesMs, values }: Sightings, poll: number): Sightings => ({
  features,
  timesMs: timesMs.subarray(poll),
  modes: modes.subarray(poll),
  isNew: isNew.subarray(poll),
  values: values.subarray(poll * features.length)
})

/** The service's rule: three scores above 0.7 in a row raise an alarm, which silences the rule for an hour. */
export class AlarmRule {
  #streak = 0
  #silentUntilMs = Number.NEGATIVE_INFINITY

  /** Whether the last scores were all above the threshold, silenced or not. */
  get holds(): boolean {
    return this.#streak >= alarmCount
  }

  /** Whether this score raises an alarm. */
  observe(score: number, timeMs: number): boolean {
    this.#streak = score > alarmScore ? this.#streak + 1 : 0
    if (!this.holds || timeMs < this.#silentUntilMs) return false
    this.#silentUntilMs = timeMs + cooldownMs
    return true
  }
}

/** One detector per mode, as the service holds them for one home. */
export type Detectors = Readonly<Record<Mode, Detector>>

/** Called after each score, before it is learned. */
type OnScore = (poll: number, score: number, isAlarm: boolean, holds: boolean) => void

/** Runs the polls from `from` to before `to` through the detectors, which learn them. */
export const runLoop = (
  detectors: Detectors,
  sightings: Sightings,
  rule: AlarmRule,
  onScore: OnScore,
  from = 0,
  to = sightings.timesMs.length
): void => {
  const width = sightings.features.length
  const record = new Float64Array(width)
  const byMode = modes.map((mode) => detectors[mode])
  for (let poll = from; poll < to; poll++) {
    const mode = sightings.modes[poll]!
    if (mode < 0) continue
    for (let k = 0; k < width; k++) record[k] = sightings.values[poll * width + k]!
    const detector = byMode[mode]!
    const score = detector.scoreOne(record)
    const isAlarm = rule.observe(score, sightings.timesMs[poll]!)
    onScore(poll, score, isAlarm, rule.holds)
    detector.learnOne(record)
  }
}
