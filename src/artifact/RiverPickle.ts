/**
 * Writes a model as the pickle that Python's `pickle.load` and `joblib.load` turn into a dict of four River 0.23.0
 * pipelines, each with objects of its own.
 *
 * Every River object is made without its constructor and given its attributes. Three choices keep the file small: a
 * random generator is written as `Random(seed)`, not as its 624 words; all leaves with the same masses are given the
 * same dict as their state, which Python copies; feature names and classes are written once.
 *
 * Source of the attributes: the River repository at tag 0.23.0, and the pickles that it writes itself.
 */
import { modes } from "../domain/Mode.js"
import type { FeatureKey } from "./FeatureKey.js"
import { PickleDict, type PickleGlobal, PickleInstance, PickleList, PickleTuple, type PickleValue } from "./Pickle.js"
import { writePickle } from "./PickleWriter.js"
import { riverGlobals } from "./RiverGlobals.js"
import type {
  HalfSpaceTreesStep,
  MinMaxScalerStep,
  Model,
  PolynomialExtenderStep,
  RiverPipeline,
  RollingMeanStep,
  SparseRandomProjectorStep,
  StandardScalerStep,
  Step,
  ThresholdFilterStep,
  TransformerUnionStep
} from "./RiverPipeline.js"

type Entries = ReadonlyArray<readonly [PickleValue, PickleValue]>

/** Chance of a random weight per component for a feature without weights; River wants it above 0. */
const projectorDensity = 1e-12

const keyOf = (feature: FeatureKey): PickleValue => (typeof feature === "number" ? BigInt(feature) : feature)
const dict = (entries: Entries) => new PickleDict([...entries])
const tuple = (...items: ReadonlyArray<PickleValue>) => new PickleTuple(items)

const call = (callable: PickleGlobal, args: ReadonlyArray<PickleValue>, entries: Entries = []) => {
  const made = new PickleInstance(callable, new PickleTuple(args), "REDUCE")
  made.entries.push(...entries)
  return made
}

const object = (cls: PickleGlobal, state: Readonly<Record<string, PickleValue>>) => {
  const made = new PickleInstance(cls, new PickleTuple([]), "NEWOBJ")
  made.states.push(dict(Object.entries(state)))
  return made
}

const partial = (callable: PickleGlobal, argument: PickleValue) => {
  const made = call(riverGlobals.partial, [callable])
  made.states.push(tuple(callable, tuple(argument), dict([]), null))
  return made
}

const defaultdict = (factory: PickleValue, entries: Entries) => call(riverGlobals.defaultdict, [factory], entries)

const standardScaler = ({ withStd, features }: StandardScalerStep) =>
  object(riverGlobals.StandardScaler, {
    with_std: withStd,
    counts: call(riverGlobals.Counter, [dict(features.map((entry) => [keyOf(entry.feature), BigInt(entry.count)]))]),
    means: defaultdict(
      riverGlobals.float,
      features.map((entry) => [keyOf(entry.feature), entry.mean])
    ),
    vars: defaultdict(
      riverGlobals.float,
      features.map((entry) => [keyOf(entry.feature), entry.variance])
    )
  })

const minMaxScaler = ({ features }: MinMaxScalerStep) =>
  object(riverGlobals.MinMaxScaler, {
    min: defaultdict(
      riverGlobals.Min,
      features.map(({ feature, min }) => [keyOf(feature), object(riverGlobals.Min, { min })])
    ),
    max: defaultdict(
      riverGlobals.Max,
      features.map(({ feature, max }) => [keyOf(feature), object(riverGlobals.Max, { max })])
    )
  })

/** The matrix makes rows for unknown features with a method of the projector, which so refers to itself. */
const sparseRandomProjector = ({ nComponents, seed, weights }: SparseRandomProjectorStep) => {
  const projector = new PickleInstance(riverGlobals.SparseRandomProjector, new PickleTuple([]), "NEWOBJ")
  const makeRow = call(riverGlobals.getattr, [projector, "_rand_weights_for_feature"])
  const rows = weights.map(
    ({ feature, components }) => [keyOf(feature), dict(components.map(([i, weight]) => [BigInt(i), weight]))] as const
  )
  projector.states.push(
    dict([
      ["n_components", BigInt(nComponents)],
      ["density", projectorDensity],
      ["seed", BigInt(seed)],
      ["_rng", call(riverGlobals.Random, [BigInt(seed)])],
      ["_projection_matrix", defaultdict(makeRow, rows)]
    ])
  )
  return projector
}

const polynomialExtender = ({ degree }: PolynomialExtenderStep) =>
  object(riverGlobals.PolynomialExtender, {
    degree: BigInt(degree),
    interaction_only: false,
    include_bias: false,
    bias_name: "bias"
  })

const rolling = (windowSize: number, { mean, window }: NonNullable<RollingMeanStep["seen"]>) => {
  const deque = call(riverGlobals.deque, [tuple(), BigInt(windowSize)])
  deque.appended.push(...window.map((value) => tuple(tuple(value), dict([]))))
  const n = window.length === 0 ? 0n : window.length
  return object(riverGlobals.Rolling, { obj: object(riverGlobals.Mean, { n, _mean: mean }), window: deque })
}

const agg = ({ on, windowSize, seen }: RollingMeanStep) => {
  const how = rolling(windowSize, { mean: 0, window: [] })
  return object(riverGlobals.Agg, {
    on: keyOf(on),
    by: null,
    how,
    _groups: defaultdict(
      partial(riverGlobals.deepcopy, how),
      seen === undefined ? [] : [[null, rolling(windowSize, seen)]]
    ),
    _feature_name: `${on}_mean`
  })
}

const transformerUnion = ({ members }: TransformerUnionStep) =>
  object(riverGlobals.TransformerUnion, {
    transformers: dict(
      members.map((member) => [
        member.name,
        member.kind === "RollingMean" ? agg(member) : sparseRandomProjector(member)
      ])
    )
  })

const halfSpaceTrees = (step: HalfSpaceTreesStep) => {
  const leafStates = new Map<string, PickleDict>()
  const leaf = (lMass: number, rMass: number): PickleInstance => {
    const masses = `${lMass},${rMass}`
    const state = leafStates.get(masses) ?? dict(Object.entries({ r_mass: BigInt(rMass), l_mass: BigInt(lMass) }))
    leafStates.set(masses, state)
    const made = new PickleInstance(riverGlobals.HSTLeaf, new PickleTuple([]), "NEWOBJ")
    made.states.push(state)
    return made
  }
  const node = ({ split, threshold, lMass, rMass }: HalfSpaceTreesStep["trees"][number], i: number): PickleInstance =>
    (split[i] ?? -1) < 0
      ? leaf(lMass[i]!, rMass[i]!)
      : object(riverGlobals.HSTBranch, {
          children: tuple(
            node({ split, threshold, lMass, rMass }, 2 * i + 1),
            node({ split, threshold, lMass, rMass }, 2 * i + 2)
          ),
          feature: keyOf(step.features[split[i]!]!),
          threshold: threshold[i]!,
          l_mass: BigInt(lMass[i]!),
          r_mass: BigInt(rMass[i]!)
        })
  return object(riverGlobals.HalfSpaceTrees, {
    n_trees: BigInt(step.nTrees),
    window_size: BigInt(step.windowSize),
    height: BigInt(step.height),
    limits: defaultdict(
      partial(riverGlobals.tuple, tuple(0, 1)),
      step.limits.map(({ feature, low, high }) => [keyOf(feature), tuple(low, high)])
    ),
    seed: BigInt(step.seed),
    rng: call(riverGlobals.Random, [BigInt(step.seed)]),
    trees: new PickleList(step.trees.map((tree) => node(tree, 0))),
    counter: BigInt(step.counter),
    _first_window: step.firstWindow
  })
}

const thresholdFilter = ({ detector, threshold, protect }: ThresholdFilterStep) =>
  object(riverGlobals.ThresholdFilter, {
    anomaly_detector: halfSpaceTrees(detector),
    protect_anomaly_detector: protect,
    threshold
  })

const stepOf = (step: Step): PickleInstance => {
  switch (step.kind) {
    case "StandardScaler":
      return standardScaler(step)
    case "MinMaxScaler":
      return minMaxScaler(step)
    case "SparseRandomProjector":
      return sparseRandomProjector(step)
    case "PolynomialExtender":
      return polynomialExtender(step)
    case "TransformerUnion":
      return transformerUnion(step)
    case "ThresholdFilter":
      return thresholdFilter(step)
  }
}

const pipelineOf = ({ steps, detector }: RiverPipeline) =>
  object(riverGlobals.Pipeline, {
    steps: call(
      riverGlobals.OrderedDict,
      [],
      [...steps.map((step) => [step.name, stepOf(step)] as const), ["HalfSpaceTrees", halfSpaceTrees(detector)]]
    )
  })

/** The bytes of `model.pkl`; the same model always gives the same bytes. */
export const writeModel = (model: Model): Buffer =>
  writePickle(dict(modes.map((mode) => [mode, pipelineOf(model[mode])])))
