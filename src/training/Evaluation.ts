/**
 * The figures of a trial: per mode, how well scores tell faults from normal operation and what the service's rule makes
 * of them; over all modes, what a household would notice.
 *
 * Intervals are 90 % and come from resampling heat pumps, not records: records of one heat pump are alike, and another
 * fleet means others. Weeks are heat pumps' too: a home with two of them counts twice. A mode with fewer than 2,000
 * clean records in the test homes is not evaluated.
 */
import { type Mode, modes } from "../domain/Mode.js"
import { type FaultKind, faultKinds, type Severity, severities } from "./Faults.js"
import { quantile } from "./Quantile.js"
import {
  addTo,
  averagePrecision,
  bootstrap,
  type Estimate,
  histogram,
  quantileEdges,
  rocAuc,
  rocCurve
} from "./RankMetrics.js"
import { type EpisodeOutcome, type HomeTrial, isTelling } from "./Trial.js"

const fewestRecords = 2_000

export interface CaughtFigures {
  readonly episodes: number
  readonly caught: number
  readonly share: Estimate
  /** Of the episodes that were caught; NaN when none was. */
  readonly medianDelayMinutes: number
}

interface KindFigures extends CaughtFigures {
  readonly rocAuc: Estimate
}

export interface ModeFigures {
  /** Clean records of the test homes in this mode. */
  readonly records: number
  /** Why there are no further figures. */
  readonly notEvaluated: string | undefined
  readonly rocAuc: Estimate
  readonly averagePrecision: Estimate
  /** Each kind of fault against all clean records, then averaged: a kind with many records weighs no more. */
  readonly meanKindRocAuc: Estimate
  readonly byKind: Readonly<Record<FaultKind, KindFigures>>
  readonly caught: CaughtFigures
  readonly falseAlarmsPerWeek: Estimate
  readonly shareInAlarm: number
  readonly cleanScore: { readonly q50: number; readonly q95: number; readonly q999: number }
  readonly isFiniteInUnitRange: boolean
  readonly rocCurve: ReturnType<typeof rocCurve>
  /** Shares of clean and of faulty records per fortieth of the range of scores, for the plot. */
  readonly scoreDistribution: {
    readonly low: number
    readonly high: number
    readonly clean: ReadonlyArray<number>
    readonly faulty: ReadonlyArray<number>
  }
}

export interface Evaluation {
  readonly name: string
  readonly installations: number
  readonly heatpumps: number
  readonly weeks: number
  readonly byMode: Readonly<Record<Mode, ModeFigures>>
  readonly overall: {
    readonly falseAlarmsPerWeek: Estimate
    readonly shareInAlarm: number
    readonly caught: CaughtFigures
    readonly byKind: Readonly<Record<FaultKind, CaughtFigures>>
    readonly bySeverity: Readonly<Record<Severity, CaughtFigures>>
  }
}

/** "1 heat pump", "3 heat pumps". */
export const heatpumpsText = ({ heatpumps }: Evaluation): string =>
  `${heatpumps} ${heatpumps === 1 ? "heat pump" : "heat pumps"}`

/** The modes that have figures. */
export const evaluatedModes = ({ byMode }: Evaluation): ReadonlyArray<Mode> =>
  modes.filter((mode) => byMode[mode].notEvaluated === undefined)

const concat = (parts: ReadonlyArray<Float64Array>): Float64Array => {
  const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

const median = (values: ReadonlyArray<number>): number => quantile(Float64Array.from(values), 0.5)

type Outcome = Omit<EpisodeOutcome, "scores">

/** `outcomes`: of each home's episodes. */
const caughtFigures = (outcomes: ReadonlyArray<ReadonlyArray<Outcome>>, seed: number): CaughtFigures => {
  const telling = outcomes.map((home) => home.filter(isTelling))
  const caught = telling.map((home) => home.filter(({ delayMinutes }) => delayMinutes !== undefined))
  const sum = (all: ReadonlyArray<ReadonlyArray<Outcome>>, drawn: ReadonlyArray<number>) =>
    drawn.reduce((total, home) => total + all[home]!.length, 0)
  const everybody = outcomes.map((_, home) => home)
  return {
    episodes: sum(telling, everybody),
    caught: sum(caught, everybody),
    share: bootstrap(outcomes.length, seed, (drawn) => sum(caught, drawn) / sum(telling, drawn)),
    medianDelayMinutes: median(caught.flatMap((home) => home.map(({ delayMinutes }) => delayMinutes!)))
  }
}

const alarmsPerWeek = (trials: ReadonlyArray<HomeTrial>, mode: Mode | undefined, seed: number): Estimate => {
  const alarms = trials.map((trial) =>
    trial.alarms.reduce((sum, alarm) => sum + (mode === undefined || alarm.mode === mode ? 1 : 0), 0)
  )
  return bootstrap(trials.length, seed, (drawn) => {
    const weeks = drawn.reduce((sum, home) => sum + trials[home]!.weeks, 0)
    return drawn.reduce((sum, home) => sum + alarms[home]!, 0) / weeks
  })
}

const distributionBins = 40

const distribution = (clean: Float64Array, faulty: Float64Array): ModeFigures["scoreDistribution"] => {
  // Anchors have no upper bound: theirs is where all but the last thousandth lie.
  const high = Math.max(1, quantile(clean, 0.999))
  const share = (scores: Float64Array) => {
    const counts = new Array<number>(distributionBins).fill(0)
    for (const score of scores) {
      counts[Math.max(0, Math.min(distributionBins - 1, Math.floor((score / high) * distributionBins)))]!++
    }
    return counts.map((count) => (scores.length === 0 ? 0 : count / scores.length))
  }
  return { low: 0, high, clean: share(clean), faulty: share(faulty) }
}

const curvePoints = 200
/** Every n-th point, and the last. */
const thinned = <A>(points: ReadonlyArray<A>): ReadonlyArray<A> => {
  const step = Math.max(1, Math.floor(points.length / curvePoints))
  return points.filter((_, i) => i % step === 0 || i === points.length - 1)
}

const modeFigures = (trials: ReadonlyArray<HomeTrial>, mode: Mode, seed: number): ModeFigures => {
  const clean = trials.map((trial) => trial.clean[mode].scores)
  const faultyOf = (trial: HomeTrial, kind: FaultKind) =>
    concat(trial.episodes.filter((episode) => episode.kind === kind).map((episode) => episode.byMode[mode].scores))
  const faulty = trials.map((trial) => faultKinds.map((kind) => faultyOf(trial, kind)))
  const allClean = concat(clean)
  const allFaulty = concat(faulty.flat())
  const edges = quantileEdges(allClean, allFaulty)
  const cleanCounts = clean.map((scores) => histogram(scores, edges))
  const faultyCounts = faulty.map((kinds) => kinds.map((scores) => histogram(scores, edges)))

  const drawnClean = (drawn: ReadonlyArray<number>) => {
    const sum = new Float64Array(edges.length + 1)
    for (const home of drawn) addTo(sum, cleanCounts[home]!)
    return sum
  }
  const drawnFaulty = (drawn: ReadonlyArray<number>, kinds: ReadonlyArray<number>) => {
    const sum = new Float64Array(edges.length + 1)
    for (const home of drawn) for (const kind of kinds) addTo(sum, faultyCounts[home]![kind]!)
    return sum
  }
  const everyKind = faultKinds.map((_, k) => k)
  const everybody = trials.map((_, home) => home)
  const kindAuc = (drawn: ReadonlyArray<number>, k: number) => rocAuc(drawnClean(drawn), drawnFaulty(drawn, [k]))
  const isPresent = everyKind.filter((k) => faulty.some((kinds) => kinds[k]!.length > 0))
  const polls = trials.reduce((sum, trial) => sum + trial.clean[mode].polls, 0)
  const inAlarm = trials.reduce((sum, trial) => sum + trial.clean[mode].pollsInAlarm, 0)
  const isFiniteInUnitRange = [allClean, allFaulty].every((scores) => scores.every((score) => score >= 0 && score <= 1))
  return {
    records: allClean.length,
    notEvaluated:
      allClean.length < fewestRecords
        ? `${allClean.length} records of the test homes, ${fewestRecords} are needed`
        : allFaulty.length === 0
          ? "no fault could be injected"
          : undefined,
    rocAuc: bootstrap(trials.length, seed, (drawn) => rocAuc(drawnClean(drawn), drawnFaulty(drawn, everyKind))),
    averagePrecision: bootstrap(trials.length, seed, (drawn) =>
      averagePrecision(drawnClean(drawn), drawnFaulty(drawn, everyKind))
    ),
    meanKindRocAuc: bootstrap(trials.length, seed, (drawn) => {
      const aucs = isPresent.map((k) => kindAuc(drawn, k)).filter((auc) => !Number.isNaN(auc))
      return aucs.reduce((sum, auc) => sum + auc, 0) / aucs.length
    }),
    byKind: perKind((kind, k) => ({
      rocAuc: bootstrap(trials.length, seed, (drawn) => kindAuc(drawn, k)),
      ...caughtFigures(
        outcomesOf(trials, (episode) => episode.kind === kind, mode),
        seed
      )
    })),
    caught: caughtFigures(
      outcomesOf(trials, () => true, mode),
      seed
    ),
    falseAlarmsPerWeek: alarmsPerWeek(trials, mode, seed),
    shareInAlarm: polls === 0 ? 0 : inAlarm / polls,
    cleanScore: { q50: quantile(allClean, 0.5), q95: quantile(allClean, 0.95), q999: quantile(allClean, 0.999) },
    isFiniteInUnitRange,
    rocCurve: thinned(rocCurve(drawnClean(everybody), drawnFaulty(everybody, everyKind))),
    scoreDistribution: distribution(allClean, allFaulty)
  }
}

const perKind = <A>(figures: (kind: FaultKind, k: number) => A): Readonly<Record<FaultKind, A>> => {
  const [flow, outdoor, drift, offset, charge, blockage, frost, heater, cycling, cop] = faultKinds.map(figures)
  return {
    "stuck flow sensor": flow!,
    "stuck outdoor sensor": outdoor!,
    "outdoor drift": drift!,
    "return offset": offset!,
    "refrigerant undercharge": charge!,
    "flow blockage": blockage!,
    "frozen evaporator": frost!,
    "backup heater stuck on": heater!,
    "short cycling": cycling!,
    "COP loss": cop!
  }
}

type EpisodeFilter = (episode: HomeTrial["episodes"][number]) => boolean

/** Of one mode, or of the heat pump's whole operation. */
const outcomesOf = (
  trials: ReadonlyArray<HomeTrial>,
  matches: EpisodeFilter,
  mode?: Mode
): ReadonlyArray<ReadonlyArray<Outcome>> =>
  trials.map((trial) =>
    trial.episodes.filter(matches).map((episode) => (mode === undefined ? episode.overall : episode.byMode[mode]))
  )

/** `trials`: of one candidate, a heat pump each. */
export const evaluate = (name: string, trials: ReadonlyArray<HomeTrial>, seed: number): Evaluation => {
  const sum = (value: (trial: HomeTrial) => number) => trials.reduce((total, trial) => total + value(trial), 0)
  const overModes = (value: (mode: Mode) => number) => modes.reduce((total, mode) => total + value(mode), 0)
  const caught = (matches: EpisodeFilter) => caughtFigures(outcomesOf(trials, matches), seed)
  const [mild, moderate, severe] = severities
  return {
    name,
    installations: new Set(trials.map(({ installationId }) => installationId)).size,
    heatpumps: trials.length,
    weeks: sum((trial) => trial.weeks),
    byMode: {
      heating: modeFigures(trials, "heating", seed),
      cooling: modeFigures(trials, "cooling", seed),
      water: modeFigures(trials, "water", seed),
      standby: modeFigures(trials, "standby", seed)
    },
    overall: {
      falseAlarmsPerWeek: alarmsPerWeek(trials, undefined, seed),
      shareInAlarm:
        sum((trial) => overModes((mode) => trial.clean[mode].pollsInAlarm)) /
        Math.max(
          1,
          sum((trial) => overModes((mode) => trial.clean[mode].polls))
        ),
      caught: caught(() => true),
      byKind: perKind((kind) => caught((episode) => episode.kind === kind)),
      bySeverity: {
        [mild]: caught((episode) => episode.severity === mild),
        [moderate]: caught((episode) => episode.severity === moderate),
        [severe]: caught((episode) => episode.severity === severe)
      }
    }
  }
}
