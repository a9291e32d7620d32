/**
 * A trained detector as plain data: the pipeline of River 0.23.0 objects that the ml-service will run, without Python
 * and without saying how it was fitted. Everything here survives `JSON.stringify` and is what `model.json` holds.
 *
 * Every step is River's class of that name (https://github.com/online-ml/river, tag 0.23.0); only the attributes that
 * its behaviour depends on are kept. Missing from the data on purpose are the states of random generators: they are
 * used to grow trees and to weigh features that a projector was not given, and the pipelines here do neither on live
 * data (see `SparseRandomProjectorStep`).
 */
import type { Mode } from "../domain/Mode.js"
import type { FeatureKey } from "./FeatureKey.js"

/** Running mean and population variance per feature; scales x to (x − mean) / √variance, or to 0 without variance. */
export interface StandardScalerStep {
  readonly kind: "StandardScaler"
  /** false: only centres. */
  readonly withStd: boolean
  /** A large count all but freezes mean and variance; a small one lets them move to the home they are used in. */
  readonly features: ReadonlyArray<{
    readonly feature: FeatureKey
    readonly count: number
    readonly mean: number
    readonly variance: number
  }>
}

/** Scales x to (x − min) / (max − min), or to 0 when they are equal. */
export interface MinMaxScalerStep {
  readonly kind: "MinMaxScaler"
  readonly features: ReadonlyArray<{ readonly feature: FeatureKey; readonly min: number; readonly max: number }>
}

/**
 * A linear map: component i = Σ weight × x over the features of a record. A missing feature adds nothing. Features that
 * are not listed get no weight: the density is so low (1e-12 per component) that River's random weights never occur.
 */
export interface SparseRandomProjectorStep {
  readonly kind: "SparseRandomProjector"
  readonly nComponents: number
  readonly seed: number
  readonly weights: ReadonlyArray<{
    readonly feature: FeatureKey
    /** Pairs of component number and weight. */
    readonly components: ReadonlyArray<readonly [component: number, weight: number]>
  }>
}

/** Every feature and every product of two, squares included, named "a*b" with the smaller key first. */
export interface PolynomialExtenderStep {
  readonly kind: "PolynomialExtender"
  readonly degree: 2
}

/** The mean of feature `on` over the last `windowSize` records learned, named "<on>_mean". */
export interface RollingMeanStep {
  readonly kind: "RollingMean"
  readonly on: FeatureKey
  readonly windowSize: number
  /**
   * What it has seen, oldest first; undefined before the first record. The mean is kept because it is a running one.
   */
  readonly seen?: { readonly mean: number; readonly window: ReadonlyArray<number> }
}

/** Gives every member the same features and puts their outputs together. */
export interface TransformerUnionStep {
  readonly kind: "TransformerUnion"
  readonly members: ReadonlyArray<Named<SparseRandomProjectorStep | RollingMeanStep>>
}

/**
 * Keeps records that its trees score at or above the threshold from being learned, by themselves and by the steps
 * behind it. Does nothing when scoring.
 */
export interface ThresholdFilterStep {
  readonly kind: "ThresholdFilter"
  readonly threshold: number
  /** River's rule: an unprotected detector never learns at all. */
  readonly protect: boolean
  readonly detector: HalfSpaceTreesStep
}

/**
 * One tree of at most `height` levels of branches, its nodes in heap order: node i has the children 2i + 1 (value below
 * the threshold) and 2i + 2.
 */
export interface HalfSpaceTree {
  /** Per possible branch (2^height − 1 of them) the position in `features`, or −1 for a leaf and for unused places. */
  readonly split: ReadonlyArray<number>
  readonly threshold: ReadonlyArray<number>
  /** Per possible node (2^(height + 1) − 1) the records of the window that is being learned. */
  readonly lMass: ReadonlyArray<number>
  /** The same of the last complete window: the masses that score. */
  readonly rMass: ReadonlyArray<number>
}

export interface HalfSpaceTreesStep {
  readonly kind: "HalfSpaceTrees"
  /** What the score is normalised by; usually the number of trees. */
  readonly nTrees: number
  readonly height: number
  /** Records after which the masses learned replace the masses that score. */
  readonly windowSize: number
  /** Ranges in which splits are drawn; [0, 1] for features that are not listed. */
  readonly limits: ReadonlyArray<{ readonly feature: FeatureKey; readonly low: number; readonly high: number }>
  readonly seed: number
  /** Records in the window that is being learned. */
  readonly counter: number
  /** Scores are 0 until the first window is complete. */
  readonly firstWindow: boolean
  readonly features: ReadonlyArray<FeatureKey>
  /** Empty until trained; River then grows them from the features of the first record it learns. */
  readonly trees: ReadonlyArray<HalfSpaceTree>
}

export type Step =
  | StandardScalerStep
  | MinMaxScalerStep
  | SparseRandomProjectorStep
  | PolynomialExtenderStep
  | TransformerUnionStep
  | ThresholdFilterStep

/** A step under the name by which River's pipeline, and so the ml-service, knows it. */
export type Named<S> = S & { readonly name: string }

/** The steps under the names that River would give them: their class, with a number behind those that come again. */
export const named = (steps: ReadonlyArray<Step>): ReadonlyArray<Named<Step>> => {
  const taken = new Set<string>()
  return steps.map((step) => {
    let name: string = step.kind
    for (let i = 1; taken.has(name); i++) name = `${step.kind}${i}`
    taken.add(name)
    return { ...step, name }
  })
}

export interface RiverPipeline {
  readonly steps: ReadonlyArray<Named<Step>>
  readonly detector: HalfSpaceTreesStep
}

/** What `model.pkl` holds. */
export type Model = Readonly<Record<Mode, RiverPipeline>>

/** The largest mass, and the window, of detectors that must never be overwritten by live data: 950 years at 30 s. */
export const endlessWindow = 1_000_000_000

/**
 * A pipeline that scores 0.05 whatever it sees, for a mode that there is too little data to train: one tree that is a
 * single leaf. An empty detector would not do, because it grows random trees on the first live record.
 */
export const neverAlarming = (scaler: StandardScalerStep): RiverPipeline => ({
  steps: [{ name: "StandardScaler", ...scaler }],
  detector: {
    kind: "HalfSpaceTrees",
    nTrees: 1,
    height: 0,
    windowSize: endlessWindow,
    limits: [],
    seed: 0,
    counter: 0,
    firstWindow: false,
    features: [],
    trees: [{ split: [], threshold: [], lMass: [0], rMass: [0.95 * endlessWindow] }]
  }
})

/** Whether a pipeline is one of `neverAlarming`. */
export const neverAlarms = ({ detector }: RiverPipeline): boolean =>
  detector.height === 0 && detector.trees.length === 1
