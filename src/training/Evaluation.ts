/**
 * The figures of a trial: per mode, how well scores tell faults from normal operation and what the service's rule makes
 * of them; over all modes, what a household would notice.
 *
 * Intervals are 90 % and come from resampling installations, all heat pumps of one together, not records: records of one
 * home are alike, and another fleet means other homes. Those of counts are at least as wide as the counts alone would
 * have them. Weeks are heat pumps': a home with two of them counts twice. A mode with fewer than 2,000 clean records in
 * the test homes is not evaluated.
 */
import { type Mode, modes } from "../domain/Mode.js"
import { binomialInterval, poissonInterval } from "./ExactIntervals.js"
import { type FaultKind, faultKinds, type Severity, severities } from "./Faults.js"
import { quantile, quantileOfSorted } from "./Quantile.js"
import {
  averagePrecision,
  bootstrap,
  type Draws,
  drawHomes,
  type Estimate,
  histogram,
  quantileEdges,
  rocAuc,
  rocCurve,
  sumOf,
  widenedTo
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

/** The trials of one installation, a heat pump each. */
type Home = ReadonlyArray<HomeTrial>

const homesOf = (trials: ReadonlyArray<HomeTrial>): ReadonlyArray<Home> => {
  const homes = new Map<string, Array<HomeTrial>>()
  for (const trial of trials) {
    const home = homes.get(trial.installationId)
    if (home === undefined) homes.set(trial.installationId, [trial])
    else home.push(trial)
  }
  return [...homes.values()]
}

/** Over some homes, one that is drawn twice counting twice. */
const total = (values: ReadonlyArray<number>, drawn: ReadonlyArray<number>): number =>
  drawn.reduce((sum, home) => sum + values[home]!, 0)

const everybody = ([all]: Draws) => all!

/** `outcomes`: of each home's episodes. */
const caughtFigures = (outcomes: ReadonlyArray<ReadonlyArray<Outcome>>, draws: Draws): CaughtFigures => {
  const telling = outcomes.map((home) => home.filter(isTelling))
  const caught = telling.map((home) => home.filter(({ delayMinutes }) => delayMinutes !== undefined))
  const [tellingCounts, caughtCounts] = [telling, caught].map((homes) => homes.map(({ length }) => length))
  const [share] = bootstrap(draws, (drawn) => [total(caughtCounts!, drawn) / total(tellingCounts!, drawn)])
  const [episodes, noticed] = [tellingCounts!, caughtCounts!].map((counts) => total(counts, everybody(draws)))
  return {
    episodes: episodes!,
    caught: noticed!,
    share: widenedTo(share!, binomialInterval(noticed!, episodes!)),
    medianDelayMinutes: median(caught.flatMap((home) => home.map(({ delayMinutes }) => delayMinutes!)))
  }
}

const alarmsPerWeek = (homes: ReadonlyArray<Home>, mode: Mode | undefined, draws: Draws): Estimate => {
  const counted = (trial: HomeTrial) => trial.alarms.filter((alarm) => mode === undefined || alarm.mode === mode).length
  const alarms = homes.map((home) => home.reduce((sum, trial) => sum + counted(trial), 0))
  const weeks = homes.map((home) => home.reduce((sum, trial) => sum + trial.weeks, 0))
  const [rate] = bootstrap(draws, (drawn) => [total(alarms, drawn) / total(weeks, drawn)])
  const exact = poissonInterval(total(alarms, everybody(draws)))
  const allWeeks = total(weeks, everybody(draws))
  return widenedTo(rate!, { low: exact.low / allWeeks, high: exact.high / allWeeks })
}

const distributionBins = 40

/** Up to `high`. Anchors have no upper bound: theirs is where all but the last thousandth lie. */
const distribution = (clean: Float64Array, faulty: Float64Array, high: number): ModeFigures["scoreDistribution"] => {
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

const modeFigures = (homes: ReadonlyArray<Home>, mode: Mode, draws: Draws): ModeFigures => {
  const trials = homes.flat()
  const clean = homes.map((home) => concat(home.map((trial) => trial.clean[mode].scores)))
  const faultyOf = (home: Home, kind: FaultKind) =>
    concat(
      home.flatMap(({ episodes }) =>
        episodes.filter((episode) => episode.kind === kind).map((episode) => episode.byMode[mode].scores)
      )
    )
  const faulty = homes.map((home) => faultKinds.map((kind) => faultyOf(home, kind)))
  const allClean = concat(clean)
  const allFaulty = concat(faulty.flat())
  const edges = quantileEdges(allClean, allFaulty)
  const cleanCounts = clean.map((scores) => histogram(scores, edges))
  const faultyCounts = faulty.map((kinds) => kinds.map((scores) => histogram(scores, edges)))
  const summed = (drawn: ReadonlyArray<number>) => {
    const sum = (counts: ReadonlyArray<Float64Array>) => sumOf(counts, edges.length + 1)
    const byKind = faultKinds.map((_, k) => sum(drawn.map((home) => faultyCounts[home]![k]!)))
    return { clean: sum(drawn.map((home) => cleanCounts[home]!)), byKind, faulty: sum(byKind) }
  }
  const [auc, precision, meanKindAuc, ...kindAucs] = bootstrap(draws, (drawn) => {
    const { byKind, clean, faulty } = summed(drawn)
    const aucs = byKind.map((counts) => rocAuc(clean, counts))
    const present = aucs.filter((each) => !Number.isNaN(each))
    const mean = present.reduce((sum, each) => sum + each, 0) / present.length
    return [rocAuc(clean, faulty), averagePrecision(clean, faulty), mean, ...aucs]
  })
  const all = summed(everybody(draws))
  const sorted = allClean.slice().sort()
  const q999 = quantileOfSorted(sorted, 0.999)
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
    rocAuc: auc!,
    averagePrecision: precision!,
    meanKindRocAuc: meanKindAuc!,
    byKind: perKind((kind, k) => ({
      rocAuc: kindAucs[k]!,
      ...caughtFigures(
        outcomesOf(homes, (episode) => episode.kind === kind, mode),
        draws
      )
    })),
    caught: caughtFigures(
      outcomesOf(homes, () => true, mode),
      draws
    ),
    falseAlarmsPerWeek: alarmsPerWeek(homes, mode, draws),
    shareInAlarm: polls === 0 ? 0 : inAlarm / polls,
    cleanScore: { q50: quantileOfSorted(sorted, 0.5), q95: quantileOfSorted(sorted, 0.95), q999 },
    isFiniteInUnitRange,
    rocCurve: thinned(rocCurve(all.clean, all.faulty)),
    scoreDistribution: distribution(allClean, allFaulty, Math.max(1, q999))
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
  homes: ReadonlyArray<Home>,
  matches: EpisodeFilter,
  mode?: Mode
): ReadonlyArray<ReadonlyArray<Outcome>> =>
  homes.map((home) =>
    home.flatMap(({ episodes }) =>
      episodes.filter(matches).map((episode) => (mode === undefined ? episode.overall : episode.byMode[mode]))
    )
  )

/** `trials`: of one candidate, a heat pump each. */
export const evaluate = (name: string, trials: ReadonlyArray<HomeTrial>, seed: number): Evaluation => {
  const homes = homesOf(trials)
  const draws = drawHomes(homes.length, seed)
  const sum = (value: (trial: HomeTrial) => number) => trials.reduce((total, trial) => total + value(trial), 0)
  const overModes = (value: (mode: Mode) => number) => modes.reduce((total, mode) => total + value(mode), 0)
  const caught = (matches: EpisodeFilter) => caughtFigures(outcomesOf(homes, matches), draws)
  const [mild, moderate, severe] = severities
  return {
    name,
    installations: homes.length,
    heatpumps: trials.length,
    weeks: sum((trial) => trial.weeks),
    byMode: {
      heating: modeFigures(homes, "heating", draws),
      cooling: modeFigures(homes, "cooling", draws),
      water: modeFigures(homes, "water", draws),
      standby: modeFigures(homes, "standby", draws)
    },
    overall: {
      falseAlarmsPerWeek: alarmsPerWeek(homes, undefined, draws),
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
