/**
 * Detectors on trial: what they score, and when they would alarm, over clean homes and over episodes with a fault.
 *
 * Each home is run once through the ml-service's loop, learning all the way. At the start of an episode the detectors
 * are saved, the episode is run with its fault in place, and they are put back: every fault meets a detector that has
 * seen nothing but normal operation of that home, and none spoils the next. Candidates see the same polls and episodes.
 *
 * Cost: a home of 20 days is 57,600 polls, its 120 episodes another 86,400; about 1 s for the residual model.
 */
import type { Mode } from "../domain/Mode.js"
import { modes } from "../domain/Mode.js"
import { type FaultKind, faultKinds, inject, missingFields, type Severity, severities } from "./Faults.js"
import { dayMs, type HomeRecords, indexAt, spanDays } from "./HomeRecords.js"
import { MersenneTwister } from "./MersenneTwister.js"
import { Scores } from "./Scores.js"
import {
  AlarmRule,
  type Detectors,
  mostReadMs,
  pollMs,
  pollsOf,
  runLoop,
  type Sightings,
  sightingsFrom,
  sightingsOf
} from "./ServiceLoop.js"

export interface Candidate {
  readonly name: string
  readonly features: ReadonlyArray<string>
  /** New ones for a home. `features` is what the records will hold: a superset of the candidate's own. */
  readonly detectors: (features: ReadonlyArray<string>) => Detectors
}

export const episodeHours = 6
const mostPerSlot = 2
const episodeMs = episodeHours * 3_600_000
/** Detectors are given this long to get to know a home before faults are put in, or 30 % of a shorter record. */
const settlingMs = 6 * dayMs
/** A fault is there for a mode when it changes at least this share of what the service sees in it. */
const fewestChanged = 0.1
/** An episode says nothing about a mode that ran for less. */
export const fewestMinutes = 20
const fewestPolls = (fewestMinutes * 60_000) / pollMs

interface Alarm {
  readonly timeMs: number
  readonly mode: Mode
}

/** What a detector did in one mode during one episode. */
export interface EpisodeOutcome {
  /** Of records in this mode, each at its first sighting. */
  readonly scores: Float64Array
  readonly polls: number
  /** From the mode's first poll to the first alarm in it, minutes; undefined when there was none. */
  readonly delayMinutes: number | undefined
}

interface EpisodeTrial {
  readonly kind: FaultKind
  readonly severity: Severity
  readonly startMs: number
  readonly byMode: Readonly<Record<Mode, EpisodeOutcome>>
  /** The same for the heat pump's whole operation, standby left out of `polls`. */
  readonly overall: Omit<EpisodeOutcome, "scores">
}

interface CleanOutcome {
  /** Of records at their first sighting, see `Scores`. */
  readonly scores: Float64Array
  readonly polls: number
  /** Polls at which the last three scores were above the threshold. */
  readonly pollsInAlarm: number
}

/** One candidate in one home. */
export interface HomeTrial {
  readonly installationId: string
  /** Of the polls that are counted: while nothing arrived, nothing could alarm. */
  readonly weeks: number
  readonly clean: Readonly<Record<Mode, CleanOutcome>>
  readonly alarms: ReadonlyArray<Alarm>
  readonly episodes: ReadonlyArray<EpisodeTrial>
  /** Records of each mode that the detectors had learned when the trial ended. */
  readonly learned: Readonly<Record<Mode, number>>
}

export interface TrialOptions {
  readonly seed: number
  /** At most: no more than two begin together. */
  readonly episodesPerHome: number
  /** Nothing before this share of a home's time is counted; it is still learned. Default 0. */
  readonly countFromShare?: number
}

interface Episode {
  readonly kind: FaultKind
  readonly severity: Severity
  readonly startMs: number
}

const byMode = <A>(value: (mode: Mode) => A): Readonly<Record<Mode, A>> => ({
  heating: value("heating"),
  cooling: value("cooling"),
  water: value("water"),
  standby: value("standby")
})

/** Every kind and severity in turn, in a seeded order, over slots spread evenly behind the settling time. */
const planEpisodes = (home: HomeRecords, number: number, options: TrialOptions): ReadonlyArray<Episode> => {
  const kinds = faultKinds.filter((kind) => missingFields(kind, home).length === 0)
  const spanMs = spanDays(home) * dayMs
  const firstMs =
    home.timestampsMs[0]! + Math.max(Math.min(settlingMs, 0.3 * spanMs), (options.countFromShare ?? 0) * spanMs)
  const slots = Math.floor((home.timestampsMs.at(-1)! - firstMs) / episodeMs)
  if (kinds.length === 0 || slots < 1) return []
  const random = new MersenneTwister(options.seed * 1_000 + number)
  const variants = kinds.flatMap((kind) => severities.map((severity) => ({ kind, severity, key: random.random() })))
  const order = variants.sort((a, b) => a.key - b.key)
  const episodes = Math.min(options.episodesPerHome, mostPerSlot * slots)
  return Array.from({ length: episodes }, (_, i) => {
    const { kind, severity } = order[i % order.length]!
    const slot = Math.floor((i * slots) / episodes)
    return { kind, severity, startMs: firstMs + slot * episodeMs }
  })
}

class Recorder {
  readonly #scores = byMode(() => new Scores())
  readonly #polls = byMode(() => ({ all: 0, inAlarm: 0 }))
  readonly #firstMs: Partial<Record<Mode, number>> = {}
  readonly #delay: Partial<Record<Mode, number>> = {}
  readonly alarms: Array<Alarm> = []
  #runningPolls = 0
  #firstRunningMs: number | undefined

  constructor(private readonly countFromMs: number) {}

  /** Takes note of the polls of some sightings, which follow those before. */
  readonly of = (sightings: Sightings) => (poll: number, score: number, isAlarm: boolean, holds: boolean) => {
    const timeMs = sightings.timesMs[poll]!
    if (timeMs < this.countFromMs) return
    const mode = modes[sightings.modes[poll]!]!
    if (sightings.isNew[poll] === 1) this.#scores[mode].push(score)
    const polls = this.#polls[mode]
    polls.all++
    if (holds) polls.inAlarm++
    this.#firstMs[mode] ??= timeMs
    if (mode !== "standby") {
      this.#runningPolls++
      this.#firstRunningMs ??= timeMs
    }
    if (!isAlarm) return
    this.alarms.push({ timeMs, mode })
    this.#delay[mode] ??= (timeMs - this.#firstMs[mode]!) / 60_000
  }

  clean(): HomeTrial["clean"] {
    return byMode((mode) => ({
      scores: this.#scores[mode].all(),
      polls: this.#polls[mode].all,
      pollsInAlarm: this.#polls[mode].inAlarm
    }))
  }

  /** `shows`: whether the fault is to be seen in a mode at all. */
  episode({ kind, severity, startMs }: Episode, shows: (mode: Mode) => boolean): EpisodeTrial {
    const first = this.alarms[0]
    return {
      kind,
      severity,
      startMs,
      byMode: byMode((mode) =>
        shows(mode)
          ? {
              scores: this.#scores[mode].all(),
              polls: this.#polls[mode].all,
              delayMinutes: this.#delay[mode]
            }
          : { scores: new Float64Array(), polls: 0, delayMinutes: undefined }
      ),
      overall: {
        polls: this.#runningPolls,
        delayMinutes: first && Math.max(0, first.timeMs - (this.#firstRunningMs ?? startMs)) / 60_000
      }
    }
  }
}

/**
 * Per mode the share of an episode's polls that the fault changed, as seen through every candidate's features. `clean`
 * begins with the episode.
 */
const changedShares = (clean: Sightings, faulty: Sightings): Readonly<Record<Mode, number>> => {
  const width = clean.features.length
  const counts = byMode(() => ({ changed: 0, all: 0 }))
  let c = 0
  for (let f = 0; f < faulty.timesMs.length; f++) {
    const mode = modes[faulty.modes[f]!]
    if (mode === undefined) continue
    while (c < clean.timesMs.length && clean.timesMs[c]! < faulty.timesMs[f]!) c++
    let isChanged = clean.timesMs[c] !== faulty.timesMs[f] || clean.modes[c] !== faulty.modes[f]
    // The first poll of an episode has no deltas.
    for (let k = 0; k < width && !isChanged && f > 0; k++) {
      const [before, after] = [clean.values[c * width + k]!, faulty.values[f * width + k]!]
      isChanged = before !== after && !(Number.isNaN(before) && Number.isNaN(after))
    }
    counts[mode].all++
    if (isChanged) counts[mode].changed++
  }
  return byMode((mode) => counts[mode].changed / Math.max(1, counts[mode].all))
}

/** Whether an episode says something: the heat pump, or a mode of it, ran for long enough. */
export const isTelling = ({ polls }: Pick<EpisodeOutcome, "polls">): boolean => polls >= fewestPolls

/**
 * Runs every candidate through one home; results in the order of `candidates`. `number` is the home's, for the seed.
 */
export const tryHome = (
  candidates: ReadonlyArray<Candidate>,
  home: HomeRecords,
  number: number,
  options: TrialOptions
): ReadonlyArray<HomeTrial> => {
  const features = [...new Set(candidates.flatMap((candidate) => candidate.features))]
  const polls = pollsOf(home, features)
  const share = options.countFromShare ?? 0
  const countFromMs = (home.timestampsMs[0] ?? 0) + share * spanDays(home) * dayMs
  const runs = candidates.map((candidate) => ({
    detectors: candidate.detectors(features),
    rule: new AlarmRule(),
    recorder: new Recorder(countFromMs),
    episodes: [] as EpisodeTrial[]
  }))
  const learned = { heating: 0, cooling: 0, water: 0, standby: 0 }
  let countedPolls = 0
  /** Polls that were read, and are not yet run. */
  let ahead = polls.read(Number.NEGATIVE_INFINITY)
  const runAhead = (end: number) => {
    for (const run of runs) runLoop(run.detectors, ahead, run.rule, run.recorder.of(ahead), 0, end)
    for (let poll = 0; poll < end; poll++) {
      const mode = modes[ahead.modes[poll]!]
      if (mode !== undefined) learned[mode]++
      if (ahead.timesMs[poll]! >= countFromMs) countedPolls++
    }
    ahead = sightingsFrom(ahead, end)
  }
  const runCleanUntil = (untilMs: number) => {
    runAhead(indexAt(ahead.timesMs, untilMs))
    while (ahead.timesMs.length === 0 && polls.nextMs() < untilMs) {
      ahead = polls.read(Math.min(untilMs, polls.nextMs() + mostReadMs))
      runAhead(ahead.timesMs.length)
    }
  }
  for (const episode of home.timestampsMs.length === 0 ? [] : planEpisodes(home, number, options)) {
    const endMs = episode.startMs + episodeMs
    runCleanUntil(episode.startMs)
    // The last record is seen for two polls.
    ahead = polls.read(endMs + 2 * pollMs, ahead)
    const startMs = ahead.timesMs[0]
    if (startMs === undefined) continue
    const from = Math.max(0, indexAt(home.timestampsMs, startMs + 1) - 1)
    const to = indexAt(home.timestampsMs, endMs)
    if (to <= from) continue
    const faulty = sightingsOf(inject(home, episode.kind, episode.severity, from, to), features, startMs)
    const changed = changedShares(ahead, faulty)
    for (const run of runs) {
      const restore = modes.map((mode) => run.detectors[mode].save())
      const recorder = new Recorder(Number.NEGATIVE_INFINITY)
      runLoop(run.detectors, faulty, new AlarmRule(), recorder.of(faulty))
      run.episodes.push(recorder.episode(episode, (mode) => changed[mode] >= fewestChanged))
      for (const each of restore) each()
    }
  }
  runCleanUntil(Number.POSITIVE_INFINITY)
  return runs.map(({ recorder, episodes }) => ({
    installationId: home.installationId,
    weeks: (countedPolls * pollMs) / (7 * dayMs),
    clean: recorder.clean(),
    alarms: recorder.alarms,
    episodes,
    learned
  }))
}
