/**
 * What is the model worth, beside what there was, on fleets that nobody looked at while it was developed?
 *
 * Three questions: 30 installations of 20 winter days (three fleets); both former configurations on the test homes of
 * the first fleet; and 90 days from October on, after which other homes go through the winter with that model. Takes
 * about a quarter of an hour.
 */
import { Effect } from "effect"
import { named, type RiverPipeline, type Step } from "../src/artifact/RiverPipeline.js"
import type { modes } from "../src/domain/Mode.js"
import { sensors as registry, smallestMagnitude } from "../src/domain/Sensor.js"
import { compile } from "../src/training/Detector.js"
import { type Evaluation, evaluate } from "../src/training/Evaluation.js"
import { collectModes, recordsByMode } from "../src/training/FitHomes.js"
import { failedCriteria } from "../src/training/Gate.js"
import { untrained } from "../src/training/HalfSpaceTrees.js"
import type { HomeRecords } from "../src/training/HomeRecords.js"
import { judge } from "../src/training/Judgement.js"
import type { Estimate } from "../src/training/RankMetrics.js"
import { type ModeRecordsByMode, residualSensors, trainResidual } from "../src/training/ResidualTraining.js"
import { riverCandidate } from "../src/training/RiverCandidate.js"
import { AlarmRule, runLoop, sightingsOf } from "../src/training/ServiceLoop.js"
import { type Candidate, tryHome } from "../src/training/Trial.js"
import { dayMs, simulateHome } from "../test/support/fleet.js"
import { soil } from "../test/support/fleetDirt.js"
import { memoryDataset } from "../test/support/memoryDataset.js"
import type { Result } from "./support.js"

/** Development used 7, 11, 12, 13, 14, 21, 22, 31, 41, 43, 101 and 103. */
const seeds = [105, 106, 107]
const seasonSeed = 201
const seed = 42
const trainingSensors = residualSensors.filter((sensor) => sensor !== "temp_air_heat_exchanger")

/** Of what a logger sends, what the server keeps: out of bounds is refused at the door. */
const stored = (home: HomeRecords): HomeRecords => ({
  ...home,
  columns: new Map(
    Array.from(home.columns, ([name, values]) => {
      const { absent, max, min } = registry.get(name)!
      const isKept = (x: number) =>
        (x >= min && x <= max && (x === 0 || Math.abs(x) >= smallestMagnitude)) || absent.includes(x)
      return [name, values.map((x) => (isKept(x) ? x : Number.NaN))]
    })
  )
})

const fleetOf = (options: {
  readonly homes: number
  readonly days: number
  readonly seed: number
  readonly startMs: number
  readonly sensors?: ReadonlyArray<string>
}): ReadonlyArray<HomeRecords> =>
  Array.from({ length: options.homes }, (_, home) =>
    stored(soil(simulateHome({ ...options, home }), { seed: home, glitches: 0.0001 }))
  )

const shown = ({ high, low, value }: Estimate, digits = 2) =>
  Number.isNaN(low)
    ? value.toFixed(digits)
    : `${value.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`

const row = (fleet: string, evaluation: Evaluation, hasThreshold = true) => ({
  fleet,
  model: evaluation.name,
  "AUC heating": shown(evaluation.byMode.heating.rocAuc, 3),
  "AUC water": shown(evaluation.byMode.water.rocAuc, 3),
  caught: hasThreshold ? shown(evaluation.overall.caught.share) : "no threshold",
  "delay min": hasThreshold ? evaluation.overall.caught.medianDelayMinutes.toFixed(0) : "",
  "false alarms/week": hasThreshold ? shown(evaluation.overall.falseAlarmsPerWeek) : "no threshold",
  "in alarm %": hasThreshold ? (100 * evaluation.overall.shareInAlarm).toFixed(3) : ""
})

const judgeFleet = async (fleet: number, homes: ReadonlyArray<HomeRecords>) => {
  const options = {
    model: "SIMULATED",
    range: { fromMs: 0, untilMs: Number.MAX_SAFE_INTEGER },
    minInstallations: 5,
    minPoints: 10_000,
    seed
  }
  const startedMs = performance.now()
  const judgement = await Effect.runPromise(
    judge(memoryDataset("SIMULATED", homes), options, { champion: undefined, evaluateOnly: false }, () => Effect.void)
  )
  const seconds = (performance.now() - startedMs) / 1000
  const failed = failedCriteria({
    ...options,
    challenger: judgement.evaluations[0]!,
    model: judgement.training.model,
    champion: undefined,
    meanAbsoluteZ: judgement.meanAbsoluteZ,
    installations: homes.length,
    points: homes.reduce((sum, { timestampsMs }) => sum + timestampsMs.length, 0),
    fileDifference: 0
  })
  const others = judgement.evaluations.map((evaluation, i) => row(`seed ${fleet}`, evaluation, i < 2))
  const { drift, forgetting, split } = judgement
  return {
    split,
    rows: [
      ...others,
      ...(drift === undefined ? [] : [row(`seed ${fleet}`, { ...drift, name: "residual model, last 20 % of time" })]),
      ...(forgetting === undefined
        ? []
        : [row(`seed ${fleet}`, { ...forgetting.evaluation, name: "residual model, home learned twice" })]),
      {
        fleet: `seed ${fleet}`,
        model: `judged in ${seconds.toFixed(0)} s; gate: ${failed.length === 0 ? "passed" : failed.join("; ")}`
      }
    ]
  }
}

/**
 * A configuration that learns the pooled records as they come; only its last window counts, so a few thousand will do.
 */
const formerConfiguration = (
  name: string,
  scaler: Step,
  size: { readonly nTrees: number; readonly height: number },
  records: ModeRecordsByMode
): Candidate => {
  const pipeline: RiverPipeline = {
    steps: named([scaler]),
    detector: untrained({ ...size, windowSize: 250, limits: [], seed })
  }
  const features = [...trainingSensors, "temp_spread", "cop_instant", "hour_of_day"]
  return {
    name,
    features,
    detectors: (all) => {
      const detector = (mode: (typeof modes)[number]) => {
        const compiled = compile(pipeline, features)
        const record = new Float64Array(features.length)
        const d = trainingSensors.length
        for (const { timestampsMs, values } of records[mode]) {
          for (let i = 0; i < timestampsMs.length; i += Math.max(1, Math.floor(timestampsMs.length / 100))) {
            record.fill(Number.NaN)
            for (let k = 0; k < d; k++) record[k] = values[i * d + k]!
            record[d] = record[1]! - record[2]!
            record[d + 1] = record[4]! > 0.2 ? record[5]! / record[4]! : 0
            record[d + 2] = Math.floor(timestampsMs[i]! / 3_600_000) % 24
            compiled.learnOne(record)
          }
        }
        const index = features.map((feature) => all.indexOf(feature))
        const narrowed = (values: Float64Array) => {
          for (let k = 0; k < index.length; k++) record[k] = values[index[k]!]!
          return record
        }
        return {
          features: all,
          scoreOne: (values: Float64Array) => compiled.scoreOne(narrowed(values)),
          learnOne: (values: Float64Array) => compiled.learnOne(narrowed(values)),
          save: compiled.save
        }
      }
      return {
        heating: detector("heating"),
        cooling: detector("cooling"),
        water: detector("water"),
        standby: detector("standby")
      }
    }
  }
}

const formerRows = (
  fleet: number,
  homes: ReadonlyArray<HomeRecords>,
  split: { readonly fit: ReadonlyArray<string>; readonly test: ReadonlyArray<string> }
) => {
  const fitted = homes.filter(({ installationId }) => split.fit.includes(installationId))
  const records = collectModes(fitted.map((home) => recordsByMode(home, trainingSensors)))
  const standard: Step = { kind: "StandardScaler", withStd: true, features: [] }
  const minMax: Step = { kind: "MinMaxScaler", features: [] }
  const former = [
    formerConfiguration("ml-service: StandardScaler, trees 25 × 15", standard, { nTrees: 25, height: 15 }, records),
    formerConfiguration("former trainer: MinMaxScaler, trees 50 × 6", minMax, { nTrees: 50, height: 6 }, records)
  ]
  const tested = homes.filter(({ installationId }) => split.test.includes(installationId))
  // Saving 1.6 million nodes for each episode takes its time: a quarter of the episodes.
  return former.map((candidate) => {
    const trials = tested.map((home, i) => tryHome([candidate], home, i, { seed, episodesPerHome: 30 })[0]!)
    return row(`seed ${fleet}`, evaluate(candidate.name, trials, seed))
  })
}

const seasonBlocks = 18
const blockDays = 10

/** False alarms per week in blocks of ten days of homes that were not fitted. */
const season = () => {
  const startMs = Date.UTC(2025, 9, 12)
  const sensors = [...trainingSensors, "status_heat_pump"]
  const base = { seed: seasonSeed, startMs, sensors }
  const { model, warnings } = trainResidual(
    { sensors: trainingSensors, missing: [] },
    collectModes(fleetOf({ ...base, homes: 24, days: 90 }).map((home) => recordsByMode(home, trainingSensors))),
    24
  )
  const others = Array.from({ length: 20 }, (_, i) => 100 + i)
  const alarms = new Float64Array(seasonBlocks)
  for (const home of others) {
    const simulated = stored(
      soil(simulateHome({ ...base, home, days: seasonBlocks * blockDays }), { seed: home, glitches: 0.0001 })
    )
    const sightings = sightingsOf(simulated, trainingSensors)
    const detectors = riverCandidate("season", model).detectors(trainingSensors)
    runLoop(detectors, sightings, new AlarmRule(), (poll, _, isAlarm) => {
      if (isAlarm) alarms[Math.floor((sightings.timesMs[poll]! - startMs) / (blockDays * dayMs))]!++
    })
  }
  const weeks = (others.length * blockDays) / 7
  return {
    rows: Array.from(alarms, (count, block) => ({
      fleet: `season, seed ${seasonSeed}`,
      model: `${new Date(startMs + block * blockDays * dayMs).toISOString().slice(0, 10)} + 10 days${block < 9 ? "" : ", after the training data"}`,
      "false alarms/week": (count / weeks).toFixed(2)
    })),
    warnings
  }
}

export const run = async (): Promise<Result> => {
  const rows: Array<Record<string, string | number>> = []
  for (const [i, fleet] of seeds.entries()) {
    const homes = fleetOf({ homes: 30, days: 20, seed: fleet, startMs: Date.UTC(2026, 0, 5) })
    const { rows: judged, split } = await judgeFleet(fleet, homes)
    rows.push(...judged)
    if (i === 0) rows.push(...formerRows(fleet, homes, split))
  }
  rows.push(...season().rows)
  return {
    question: "What do models notice, and how often are they wrong, in homes that they were not fitted to?",
    target:
      "heating AUC ≥ .95, caught ≥ .85, false alarms ≤ .5 per heat pump and week; ≤ 1 in every 10-day block after a change of season; judged in 180 s",
    rows
  }
}
