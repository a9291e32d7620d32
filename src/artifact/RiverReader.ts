/**
 * Reads a model back from its pickle: this program's own files, and the same objects as Python dumps them again
 * (protocol 4 or 5, with pickle or joblib), also after the ml-service has used them.
 */
import { Either } from "effect"
import { compareFeatureKeys, type FeatureKey } from "./FeatureKey.js"
import type { PickleError } from "./Pickle.js"
import { readPickle } from "./PickleReader.js"
import { PickleView, UnreadableModel } from "./PickleView.js"
import { allowedGlobals, riverGlobals } from "./RiverGlobals.js"
import type {
  HalfSpaceTree,
  HalfSpaceTreesStep,
  MinMaxScalerStep,
  Model,
  Named,
  PolynomialExtenderStep,
  RiverPipeline,
  RollingMeanStep,
  SparseRandomProjectorStep,
  StandardScalerStep,
  Step,
  ThresholdFilterStep,
  TransformerUnionStep
} from "./RiverPipeline.js"

const mostComponents = 10_000
/** A higher density could give weights to features that have none here. */
const highestDensity = 1e-9

const standardScaler = (view: PickleView): StandardScalerStep => {
  const attribute = view.attributes(riverGlobals.StandardScaler)
  const counter = attribute("counts")
  const counts = counter.at("dict", counter.call(riverGlobals.Counter).args.items[0] ?? undefined).byFeature()
  const means = attribute("means").byFeature()
  const variances = attribute("vars").byFeature()
  return {
    kind: "StandardScaler",
    withStd: attribute("with_std").boolean(),
    features: [...counts].map(([feature, count]) => ({
      feature,
      count: count.count(),
      mean: means.get(feature)?.float() ?? 0,
      variance: variances.get(feature)?.float() ?? 0
    }))
  }
}

const minMaxScaler = (view: PickleView): MinMaxScalerStep => {
  const attribute = view.attributes(riverGlobals.MinMaxScaler)
  const max = attribute("max").byFeature()
  const features = [...attribute("min").byFeature()].map(([feature, min]) => ({
    feature,
    min: min.attributes(riverGlobals.Min)("min").float(),
    max: view.at(feature, max.get(feature)?.value).attributes(riverGlobals.Max)("max").float()
  }))
  return { kind: "MinMaxScaler", features }
}

const sparseRandomProjector = (view: PickleView): SparseRandomProjectorStep => {
  const attribute = view.attributes(riverGlobals.SparseRandomProjector)
  const density = attribute("density")
  if (density.float() > highestDensity)
    density.refuse(`is above ${highestDensity}: unknown features have random weights`)
  const nComponents = attribute("n_components").count(0, mostComponents)
  const weights = [...attribute("_projection_matrix").byFeature()].map(([feature, row]) => ({
    feature,
    components: [...row.byFeature()].map(([component, weight]) => {
      if (typeof component === "string" || component >= nComponents) row.refuse(`has no component ${component}`)
      return [Number(component), weight.float()] as const
    })
  }))
  // Features that only passed by have rows without weights.
  const used = weights.filter(({ components }) => components.length > 0)
  return { kind: "SparseRandomProjector", nComponents, seed: attribute("seed").seed(), weights: used }
}

const polynomialExtender = (view: PickleView): PolynomialExtenderStep => {
  const attribute = view.attributes(riverGlobals.PolynomialExtender)
  const degree = attribute("degree")
  if (degree.count() !== 2) return degree.refuse("is not 2")
  for (const name of ["interaction_only", "include_bias"])
    if (attribute(name).boolean()) attribute(name).refuse("is True")
  return { kind: "PolynomialExtender", degree: 2 }
}

const mostWindow = 1_000_000

const rolling = (view: PickleView) => {
  const attribute = view.attributes(riverGlobals.Rolling)
  const deque = attribute("window")
  const { args, appended } = deque.call(riverGlobals.deque)
  const windowSize = deque.at("maxlen", args.items[1]).count(1, mostWindow)
  if (appended.length > windowSize) deque.refuse("does not hold its window")
  const window = appended.map((item, i) => {
    const call = deque.at(i, item)
    const values = call.at("args", call.tuple()[0]?.value)
    return values.at(0, values.tuple()[0]?.value).float()
  })
  return { windowSize, seen: { mean: attribute("obj").attributes(riverGlobals.Mean)("_mean").float(), window } }
}

const rollingMean = (view: PickleView): RollingMeanStep => {
  const attribute = view.attributes(riverGlobals.Agg)
  if (attribute("by").value !== null) attribute("by").refuse("is not None")
  const { windowSize } = rolling(attribute("how"))
  const groups = attribute("_groups")
  const [group] = groups.call(riverGlobals.defaultdict).entries
  const seen = group === undefined ? undefined : rolling(groups.at("None", group[1])).seen
  return {
    kind: "RollingMean",
    on: attribute("on").feature(),
    windowSize,
    ...(seen === undefined || seen.window.length === 0 ? {} : { seen })
  }
}

const transformerUnion = (view: PickleView): TransformerUnionStep => ({
  kind: "TransformerUnion",
  members: [...view.attributes(riverGlobals.TransformerUnion)("transformers").byName()].map(([name, member]) =>
    member.is(riverGlobals.Agg) ? { name, ...rollingMean(member) } : { name, ...sparseRandomProjector(member) }
  )
})

const halfSpaceTrees = (view: PickleView): HalfSpaceTreesStep => {
  const attribute = view.attributes(riverGlobals.HalfSpaceTrees)
  const height = attribute("height").count(0, 20)
  const roots = attribute("trees").list()
  view.reserve(roots.length * 2 ** (height + 1))
  const limits = [...attribute("limits").byFeature()].map(([feature, limit]) => {
    const [low, high] = limit.tuple()
    return { feature, low: limit.at("low", low?.value).float(), high: limit.at("high", high?.value).float() }
  })
  const splits = roots.map((root) => treeOf(root, height))
  const features = [...new Set([...limits, ...splits.flatMap(({ on }) => on)].map(featureOf))].sort(compareFeatureKeys)
  const position = new Map(features.map((feature, i) => [feature, i]))
  return {
    kind: "HalfSpaceTrees",
    nTrees: attribute("n_trees").count(1),
    height,
    windowSize: attribute("window_size").count(1),
    limits,
    seed: attribute("seed").seed(),
    counter: attribute("counter").count(),
    firstWindow: attribute("_first_window").boolean(),
    features: roots.length === 0 ? [] : features,
    trees: splits.map(({ on, tree }) => {
      const split = new Array<number>(tree.threshold.length).fill(-1)
      for (const { node, feature } of on) split[node] = position.get(feature)!
      return { ...tree, split }
    })
  }
}

const featureOf = ({ feature }: { readonly feature: FeatureKey }) => feature

const treeOf = (root: PickleView, height: number) => {
  const branches = 2 ** height - 1
  const threshold = new Array<number>(branches).fill(0)
  const lMass = new Array<number>(2 * branches + 1).fill(0)
  const rMass = new Array<number>(2 * branches + 1).fill(0)
  const on: Array<{ readonly node: number; readonly feature: FeatureKey }> = []
  const visit = (view: PickleView, node: number): void => {
    const isLeaf = view.is(riverGlobals.HSTLeaf)
    const attribute = view.attributes(isLeaf ? riverGlobals.HSTLeaf : riverGlobals.HSTBranch)
    lMass[node] = attribute("l_mass").count()
    rMass[node] = attribute("r_mass").count()
    if (isLeaf) return
    if (node >= branches) view.refuse(`is deeper than the height of ${height}`)
    on.push({ node, feature: attribute("feature").feature() })
    threshold[node] = attribute("threshold").float()
    const children = attribute("children")
    const [left, right] = children.tuple()
    visit(children.at("left", left?.value), 2 * node + 1)
    visit(children.at("right", right?.value), 2 * node + 2)
  }
  visit(root, 0)
  const tree: Omit<HalfSpaceTree, "split"> = { threshold, lMass, rMass }
  return { on, tree }
}

const thresholdFilter = (view: PickleView): ThresholdFilterStep => {
  const attribute = view.attributes(riverGlobals.ThresholdFilter)
  return {
    kind: "ThresholdFilter",
    threshold: attribute("threshold").float(),
    protect: attribute("protect_anomaly_detector").boolean(),
    detector: halfSpaceTrees(attribute("anomaly_detector"))
  }
}

const stepOf = (view: PickleView): Step => {
  if (view.is(riverGlobals.StandardScaler)) return standardScaler(view)
  if (view.is(riverGlobals.MinMaxScaler)) return minMaxScaler(view)
  if (view.is(riverGlobals.SparseRandomProjector)) return sparseRandomProjector(view)
  if (view.is(riverGlobals.PolynomialExtender)) return polynomialExtender(view)
  if (view.is(riverGlobals.TransformerUnion)) return transformerUnion(view)
  if (view.is(riverGlobals.ThresholdFilter)) return thresholdFilter(view)
  return view.refuse("is no step that this program knows")
}

const pipelineOf = (view: PickleView): RiverPipeline => {
  const named = [...view.attributes(riverGlobals.Pipeline)("steps").byName()]
  const last = named.pop()
  if (last === undefined) return view.refuse("has no steps")
  const steps = named.map(([name, step]): Named<Step> => ({ name, ...stepOf(step) }))
  const detector = halfSpaceTrees(last[1])
  if (needsEveryProduct(steps, detector)) return view.refuse("has products of which no later step says which it reads")
  return { steps, detector }
}

/** Of a few thousand features nobody could hold all products; a projection, or trees that have grown, name theirs. */
const needsEveryProduct = (steps: ReadonlyArray<Step>, { trees }: HalfSpaceTreesStep): boolean => {
  let isNamed = trees.length > 0
  for (const { kind } of steps.toReversed()) {
    if (kind === "PolynomialExtender" && !isNamed) return true
    if (kind === "PolynomialExtender") isNamed = false
    if (kind === "SparseRandomProjector" || kind === "TransformerUnion") isNamed = true
  }
  return false
}

const modelOf = (root: PickleView): Model => {
  const byMode = root.byName()
  const mode = (name: string) => pipelineOf(root.at(name, byMode.get(name)?.value))
  return { heating: mode("heating"), cooling: mode("cooling"), water: mode("water"), standby: mode("standby") }
}

export const readModel = (bytes: Buffer): Either.Either<Model, PickleError | UnreadableModel> =>
  Either.flatMap(readPickle(bytes, allowedGlobals), (value) =>
    Either.try({
      try: () => modelOf(new PickleView(value, "model")),
      catch: (error) => {
        if (error instanceof UnreadableModel) return error
        throw error
      }
    })
  )
