/**
 * A training that is judged: fit on some homes, tried on others beside a champion and the baselines, drift and
 * forgetting looked at, and the gate's verdict.
 *
 * - Shipped is the model of the homes to fit (80 %, at most 500), over all of their time: a season that is left out of
 *   a model is a season of false alarms. Its thresholds come from four folds of these homes; the other 20 % never touch it.
 * - The drift figures are those of a twin that saw only the first 80 % of the time, run through the last 20 % of it.
 * - Fewer than five installations: each in turn is tried with a model of the others; shipped is the model of all.
 * - One installation: the model of its first 80 % of time, tried on the rest.
 * - A champion judged alone: on the homes that a training would test on, which it may have been fitted to.
 *
 * Cost: three readings of the data, the fits, and about 2 s for each home of 20 days that is tried.
 */
import { Effect } from "effect"
import type { Model } from "../artifact/RiverPipeline.js"
import { type Mode, modes } from "../domain/Mode.js"
import { canonicalModel } from "../domain/ModelName.js"
import { eventLoopTurn } from "../eventLoopTurn.js"
import { anchors, meanAbsoluteZName } from "./Anchors.js"
import type { Dataset } from "./Dataset.js"
import { type Evaluation, evaluate } from "./Evaluation.js"
import { type FaultKind, faultFields, faultKinds, missingFields } from "./Faults.js"
import { collectModes, readFitHomes } from "./FitHomes.js"
import { type FleetOptions, type FleetSample, NotEnoughData } from "./FleetSample.js"
import { type Forgetting, tryForgetting } from "./Forgetting.js"
import type { HomeRecords } from "./HomeRecords.js"
import type { OnProgress } from "./Progress.js"
import { chooseSensors, fewestSensors, type ResidualTraining, trainResidual } from "./ResidualTraining.js"
import { riverCandidate } from "./RiverCandidate.js"
import { earlierSample } from "./Sampling.js"
import { fieldsOf } from "./ServiceLoop.js"
import { type Split, splitByInstallation } from "./Split.js"
import { readTrainable, type Trained, trainWhitened } from "./Trainer.js"
import { type Candidate, type HomeTrial, type TrialOptions, tryHome } from "./Trial.js"

const challengerName = "residual model"
const whitenedName = "whitened half-space trees"
const championName = "champion"

/** Of one installation, the share of time that is fitted; also where the drift set begins. */
const earlyShare = 0.8
const episodesPerHome = 120
/** Homes whose last days are looked at for drift, and whose models for forgetting. */
const driftHomes = 6
const forgettingHomes = 3

/**
 * What the judged model knows of what it was tried on: of which homes it knows nothing, or only the time before. Of two
 * to four installations the shipped model is of all, and its like were tried.
 */
export type TriedOn = "other homes" | "later days" | "each with a model of the others" | "homes it may know"

export interface Judgement {
  readonly sample: FleetSample
  /** Empty where a champion was judged alone. */
  readonly training: ResidualTraining
  /** Where each installation was tried with a model of the others, the first of these splits. */
  readonly split: Split
  readonly triedOn: TriedOn
  /** The challenger first, then the champion if there is one, then baselines and anchors. */
  readonly evaluations: ReadonlyArray<Evaluation>
  readonly meanAbsoluteZ: Evaluation
  readonly champion: Evaluation | undefined
  readonly drift: Evaluation | undefined
  readonly forgetting: Forgetting | undefined
  /** Kinds of faults that no test home has the fields for, with the fields that the first of them lacks. */
  readonly skippedFaults: ReadonlyArray<{ readonly kind: FaultKind; readonly missing: ReadonlyArray<string> }>
  /** Of the first test home: for the plot. */
  readonly example: HomeTrial | undefined
}

interface Entrant {
  readonly candidate: Candidate
  readonly trials: Array<HomeTrial>
}

/** What the sample holds of some installations. */
const partOf = (sample: FleetSample, installationIds: ReadonlyArray<string>): FleetSample => {
  const isPart = (_: unknown, i: number) => installationIds.includes(sample.owners[i]!)
  return { ...sample, heatpumps: sample.heatpumps.filter(isPart), owners: sample.owners.filter(isPart) }
}

const entrantsOf = (candidates: ReadonlyArray<Candidate>): ReadonlyArray<Entrant> =>
  candidates.map((candidate) => ({ candidate, trials: [] }))

export const judge = Effect.fn("Judgement.judge")(function* (
  dataset: Dataset,
  options: FleetOptions,
  /** What is judged in place of a fresh model, or beside it. */
  other: { readonly champion: Model | undefined; readonly evaluateOnly: boolean },
  onProgress: OnProgress
) {
  const { seed } = options
  const sample = yield* readTrainable(dataset, options, onProgress)
  const choice = chooseSensors(sample.coverage)
  if (choice.sensors.length < fewestSensors && !other.evaluateOnly) {
    const message = `a model is made of at least ${fewestSensors} sensors that nine in ten heat pumps measure and that move; of those that it can use ${canonicalModel(options.model)} has ${choice.sensors.join(", ") || "none"}: nothing was trained; let the loggers send ${choice.missing.join(", ")}`
    return yield* new NotEnoughData({ message })
  }
  const splits = splitByInstallation(sample.installations, seed)
  const [only] = sample.installations
  const isSingle = splits.length === 0
  const rounds: ReadonlyArray<Split> = isSingle ? [{ fit: [only!], test: [only!] }] : splits
  const heatpumpsOf = (ids: ReadonlyArray<string>) => sample.owners.filter((owner) => ids.includes(owner)).length

  const fitHomes = Effect.fnUntraced(function* (subject: string, ids: ReadonlyArray<string>, share: number) {
    const homes = yield* readFitHomes(dataset, options, ids, choice.sensors, share, (done) =>
      onProgress({ step: "fitting", subject, done, total: ids.length })
    )
    const byMode = collectModes(homes)
    // Nothing is trained where only a champion is judged; the anchors need the records all the same.
    const training = other.evaluateOnly
      ? trainResidual({ sensors: [], missing: [] }, collectModes([]), 0)
      : trainResidual(choice, byMode, heatpumpsOf(ids))
    // Not the records: what judges needs the memory.
    return { training, anchors: anchors(choice.sensors, byMode) }
  })

  /** The fields that every test home so far lacks one of, for each kind of fault; none of a kind that was injected. */
  const missingByKind = new Map<FaultKind, ReadonlyArray<string>>()
  const noteMissing = (heatpump: HomeRecords) => {
    for (const kind of faultKinds) {
      const missing = missingFields(kind, heatpump)
      if (missing.length === 0 || !missingByKind.has(kind)) missingByKind.set(kind, missing)
    }
  }
  const tryHomes = Effect.fnUntraced(function* (
    subject: string,
    ids: ReadonlyArray<string>,
    entrants: ReadonlyArray<Entrant>,
    trialOptions: TrialOptions,
    onHeatpump: (heatpump: HomeRecords) => void
  ) {
    const fields = new Set(fieldsOf(entrants.flatMap(({ candidate }) => candidate.features)))
    for (const field of faultFields) fields.add(field)
    for (const [i, id] of ids.entries()) {
      for (const heatpump of yield* dataset.load(id, options.model, options.range, fields)) {
        if (heatpump.timestampsMs.length === 0) continue
        onHeatpump(heatpump)
        const results = tryHome(
          entrants.map(({ candidate }) => candidate),
          heatpump,
          entrants[0]!.trials.length,
          trialOptions
        )
        for (const [e, result] of results.entries()) entrants[e]!.trials.push(result)
        yield* eventLoopTurn
      }
      yield* onProgress({ step: "judging", subject, done: i + 1, total: ids.length })
    }
  })

  const pooled = new Map<string, Array<HomeTrial>>()
  let shipped: ResidualTraining | undefined
  for (const [r, round] of rounds.entries()) {
    const without = rounds.length > 1 ? ` without home ${r + 1} of ${rounds.length}` : ""
    const fitted = yield* fitHomes(
      `${other.evaluateOnly ? "the anchors" : "the model"}${without}`,
      round.fit,
      isSingle ? earlyShare : 1
    )
    shipped ??= fitted.training
    const part = partOf(sample, round.fit)
    const seen = isSingle ? { ...part, heatpumps: part.heatpumps.map((one) => earlierSample(one, earlyShare)) } : part
    const whitened = yield* trainWhitened(seen, seed, onProgress)
    const entrants = entrantsOf([
      ...(other.evaluateOnly ? [] : [riverCandidate(challengerName, fitted.training.model)]),
      ...(other.champion === undefined ? [] : [riverCandidate(championName, other.champion)]),
      riverCandidate(whitenedName, whitened.model),
      ...fitted.anchors
    ])
    yield* tryHomes(
      `${other.evaluateOnly ? "the champion" : "the model"}${without}`,
      round.test,
      entrants,
      { seed, episodesPerHome, ...(isSingle ? { countFromShare: earlyShare } : {}) },
      noteMissing
    )
    for (const { candidate, trials } of entrants) {
      pooled.set(candidate.name, [...(pooled.get(candidate.name) ?? []), ...trials])
    }
  }
  // Leaving one out is for judging; shipped is what every home taught.
  if (rounds.length > 1) shipped = (yield* fitHomes("the model of all homes", sample.installations, 1)).training
  const training = shipped!
  const evaluations = Array.from(pooled, ([name, trials]) => evaluate(name, trials, seed))
  const [round] = rounds

  let drift: Evaluation | undefined
  let forgetting: Forgetting | undefined
  if (!isSingle && rounds.length === 1 && !other.evaluateOnly) {
    const twin = yield* fitHomes("the drift twin", round!.fit, earlyShare)
    const entrants = entrantsOf([riverCandidate(challengerName, twin.training.model)])
    yield* tryHomes(
      "the drift twin",
      round!.fit.slice(0, driftHomes),
      entrants,
      { seed, episodesPerHome: episodesPerHome / 4, countFromShare: earlyShare },
      () => {}
    )
    drift = evaluate(challengerName, entrants[0]!.trials, seed)
    const fields = new Set([...fieldsOf(choice.sensors), ...faultFields])
    const homes = yield* Effect.forEach(round!.test.slice(0, forgettingHomes), (id) =>
      dataset.load(id, options.model, options.range, fields)
    )
    forgetting = tryForgetting(training.model, homes.flat(), seed)
  }
  const judgement: Judgement = {
    sample,
    training,
    split: round!,
    triedOn: other.evaluateOnly
      ? "homes it may know"
      : isSingle
        ? "later days"
        : rounds.length > 1
          ? "each with a model of the others"
          : "other homes",
    evaluations,
    meanAbsoluteZ: evaluations.find(({ name }) => name === meanAbsoluteZName)!,
    champion: evaluations.find(({ name }) => name === championName),
    drift,
    forgetting,
    skippedFaults: Array.from(missingByKind, ([kind, missing]) => ({ kind, missing })).filter(
      ({ missing }) => missing.length > 0
    ),
    example: [...pooled.values()][0]?.[0]
  }
  return judgement
})

/** The training without its judgement, as metadata tell of it. */
export const trainedOf = ({ sample, training }: Judgement): Trained => {
  const mode = (name: Mode) => ({
    records: sample.recordsByMode[modes.indexOf(name)]!,
    rows: training.byMode[name].records,
    untrainedBecause: training.byMode[name].untrainedBecause
  })
  return {
    model: training.model,
    features: training.choice.sensors,
    sample,
    byMode: { heating: mode("heating"), cooling: mode("cooling"), water: mode("water"), standby: mode("standby") }
  }
}
