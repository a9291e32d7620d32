/** The gate refuses what it is there to refuse: judged by real trials, not by made-up figures. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { writeModel } from "../../src/artifact/RiverPickle.js"
import { type Model, neverAlarming } from "../../src/artifact/RiverPipeline.js"
import { anchors, meanAbsoluteZName } from "../../src/training/Anchors.js"
import { type Evaluation, evaluate } from "../../src/training/Evaluation.js"
import { fileDifference } from "../../src/training/FileCheck.js"
import { failedCriteria, type GateInput } from "../../src/training/Gate.js"
import { trainResidual } from "../../src/training/ResidualTraining.js"
import { riverCandidate } from "../../src/training/RiverCandidate.js"
import type { Detectors } from "../../src/training/ServiceLoop.js"
import { type Candidate, tryHome } from "../../src/training/Trial.js"
import { modesOf, sensors, smallFleet } from "../support/trainedFleet.js"

const fleet = { homes: 8, days: 5, seed: 31 }
const homes = smallFleet(fleet)
const fitted = homes.slice(0, 5)
const tested = homes.slice(5)
const records = modesOf(fitted)
const { model } = trainResidual({ sensors, missing: [] }, records, fitted.length)

/** 1 % of the values are garbage, and nobody checks. */
const glitchy = smallFleet({ ...fleet, glitches: 0.01 }).slice(0, 5)
const unchecked = trainResidual({ sensors, missing: [] }, modesOf(glitchy, false), fitted.length).model

const sound = riverCandidate("sound", model)

/** Every mode's detector scores the same, always. */
const constant = (score: number): Candidate => ({
  ...sound,
  name: `constant ${score}`,
  detectors: (features) => {
    const detector = { features, scoreOne: () => score, learnOne: () => {}, save: () => () => {} }
    return { heating: detector, cooling: detector, water: detector, standby: detector }
  }
})

/** The sound one with another way of scoring or learning. */
const altered = (
  name: string,
  alter: (detector: Detectors["heating"]) => Partial<Detectors["heating"]>
): Candidate => ({
  ...sound,
  name,
  detectors: (features): Detectors => {
    const detectors = sound.detectors(features)
    const wrap = (detector: Detectors["heating"]) => ({ ...detector, ...alter(detector) })
    return {
      heating: wrap(detectors.heating),
      cooling: wrap(detectors.cooling),
      water: wrap(detectors.water),
      standby: wrap(detectors.standby)
    }
  }
})

/** Alarms only at what the sound model scores above `threshold`; ranks records as it does. */
const deafer = (threshold: number): Candidate => {
  const raised = (score: number) =>
    score <= threshold ? (score * 0.7) / threshold : 1 - ((1 - score) * 0.3) / (1 - threshold)
  return altered(`above ${threshold}`, ({ scoreOne }) => ({ scoreOne: (values) => raised(scoreOne(values)) }))
}

const shift = (values: Float64Array) => values.map((_, i) => values[(i + 3) % values.length]!)
/** Takes each sensor's value for another's. */
const shuffled = altered("shuffled", ({ learnOne, scoreOne }) => ({
  scoreOne: (values) => scoreOne(shift(values)),
  learnOne: (values) => learnOne(shift(values))
}))

const candidates = [
  sound,
  constant(0.05),
  constant(0.9),
  deafer(0.75),
  deafer(0.9),
  shuffled,
  riverCandidate("unchecked", unchecked),
  ...anchors(sensors, records)
]
const evaluations = new Map<string, Evaluation>()

beforeAll(() => {
  const trials = tested.map((home, i) => tryHome(candidates, home, i, { seed: 1, episodesPerHome: 60 }))
  for (const [c, { name }] of candidates.entries()) {
    evaluations.set(
      name,
      evaluate(
        name,
        trials.map((trial) => trial[c]!),
        1
      )
    )
  }
})

const input = (name: string, more: Partial<GateInput> = {}): GateInput => ({
  challenger: evaluations.get(name)!,
  model,
  champion: undefined,
  meanAbsoluteZ: evaluations.get(meanAbsoluteZName)!,
  installations: 8,
  minInstallations: 5,
  points: 50_000,
  minPoints: 10_000,
  fileDifference: fileDifference(model, writeModel(model), 1),
  ...more
})
const failed = (name: string, more?: Partial<GateInput>) => failedCriteria(input(name, more)).join("\n")

describe("Gate", () => {
  it("lets a sound model through", () => {
    assert.deepStrictEqual(failedCriteria(input("sound")), [])
    assert.isAbove(evaluations.get("sound")!.byMode.heating.rocAuc.value, 0.9)
  })

  it("refuses a scorer that says the same of everything, low or high", () => {
    assert.match(failed("constant 0.05"), /heating: mean ROC-AUC of the faults 0\.500, at least 0\.8 is needed/)
    assert.match(
      failed("constant 0.9"),
      /heating: in alarm \d+\.\d\d % of the time on clean data, at most 0\.10 % is allowed/
    )
    assert.match(failed("constant 0.9"), /false alarms per heat pump and week, at most 0\.5 are allowed/)
  })

  it("refuses a threshold so high that hardly a fault is noticed, whatever the scores would tell", () => {
    const { byMode, overall } = evaluations.get("above 0.9")!
    assert.isAbove(byMode.heating.meanKindRocAuc.value, 0.9)
    assert.strictEqual(overall.falseAlarmsPerWeek.value, 0)
    assert.deepStrictEqual(failedCriteria(input("above 0.9")), [
      `all modes: ${overall.caught.caught} of ${overall.caught.episodes} faults noticed, at least 40 % are needed`
    ])
  })

  it("refuses a threshold that notices less than the champion's, unless that one alarms more than is allowed", () => {
    const champion = evaluations.get("sound")!
    assert.deepStrictEqual(failedCriteria(input("above 0.75")), [])
    assert.match(
      failed("above 0.75", { champion }),
      /^all modes: \d\d\.\d % of the faults noticed, the champion notices \d\d\.\d %\nheating: \d\d\.\d % of/
    )
    const alarming = evaluations.get("constant 0.9")!
    assert.strictEqual(alarming.overall.caught.share.value, 1)
    assert.deepStrictEqual(failedCriteria(input("sound", { champion: alarming })), [])
    assert.deepStrictEqual(failedCriteria(input("sound", { champion: evaluations.get("above 0.75")! })), [])
  })

  it("refuses a scorer whose features were mixed up", () => {
    assert.match(failed("shuffled"), /mean ROC-AUC of the faults 0\.\d+/)
  })

  it("refuses a model of data with 1 % glitches that nobody checked", () => {
    assert.match(failed("unchecked"), /mean ROC-AUC of the faults 0\.\d+, /)
  })

  it("refuses what is worse than the champion, in the mean or on one fault", () => {
    const champion = evaluations.get("sound")!
    assert.deepStrictEqual(failedCriteria(input("sound", { champion })), [])
    const better = (slack: number) => (value: number) => Math.min(1, value + slack)
    const raised = (map: (value: number) => number): Evaluation => {
      const { heating } = champion.byMode
      const blockage = heating.byKind["flow blockage"]
      const byKind = {
        ...heating.byKind,
        "flow blockage": { ...blockage, rocAuc: { ...blockage.rocAuc, value: blockage.rocAuc.value + 0.06 } }
      }
      const meanKindRocAuc = { ...heating.meanKindRocAuc, value: map(heating.meanKindRocAuc.value) }
      return { ...champion, byMode: { ...champion.byMode, heating: { ...heating, byKind, meanKindRocAuc } } }
    }
    const sentences = failedCriteria(input("sound", { champion: raised(better(0.02)) }))
    assert.isTrue(sentences.some((sentence) => /heating: mean ROC-AUC .* the champion has/.test(sentence)))
    assert.isTrue(sentences.some((sentence) => sentence.startsWith('heating: ROC-AUC of "flow blockage"')))
  })

  it("refuses a model that is silent where the champion is not, too few data, and a file that differs", () => {
    const silent = neverAlarming({ kind: "StandardScaler", withStd: true, features: [] })
    const mute: Model = { ...model, heating: silent }
    assert.match(
      failed("sound", { model: mute, champion: evaluations.get("sound")! }),
      /heating: never alarms, the champion/
    )
    const allMute: Model = { heating: silent, cooling: silent, water: silent, standby: silent }
    assert.match(failed("sound", { model: allMute }), /no mode could be evaluated/)
    assert.match(
      failed("sound", { installations: 3, points: 10 }),
      /3 installations, 5 are needed\n10 records, 10000 are/
    )
    assert.match(failed("sound", { fileDifference: 1e-6 }), /the file, read back, scores differently/)
    assert.strictEqual(fileDifference(model, Buffer.from("no pickle"), 1), Number.POSITIVE_INFINITY)
  })
})
