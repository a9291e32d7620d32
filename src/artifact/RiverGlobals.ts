/** The classes and functions that a pickled pipeline of River 0.23.0 refers to, and no others. */
import { PickleGlobal } from "./Pickle.js"

export const riverGlobals = {
  Pipeline: new PickleGlobal("river.compose.pipeline", "Pipeline"),
  TransformerUnion: new PickleGlobal("river.compose.union", "TransformerUnion"),
  StandardScaler: new PickleGlobal("river.preprocessing.scale", "StandardScaler"),
  MinMaxScaler: new PickleGlobal("river.preprocessing.scale", "MinMaxScaler"),
  SparseRandomProjector: new PickleGlobal("river.preprocessing.random_projection", "SparseRandomProjector"),
  PolynomialExtender: new PickleGlobal("river.feature_extraction.poly", "PolynomialExtender"),
  Agg: new PickleGlobal("river.feature_extraction.agg", "Agg"),
  Rolling: new PickleGlobal("river.utils.rolling", "Rolling"),
  Mean: new PickleGlobal("river.stats.mean", "Mean"),
  Min: new PickleGlobal("river.stats.minimum", "Min"),
  Max: new PickleGlobal("river.stats.maximum", "Max"),
  ThresholdFilter: new PickleGlobal("river.anomaly.filter", "ThresholdFilter"),
  HalfSpaceTrees: new PickleGlobal("river.anomaly.hst", "HalfSpaceTrees"),
  HSTBranch: new PickleGlobal("river.anomaly.hst", "HSTBranch"),
  HSTLeaf: new PickleGlobal("river.anomaly.hst", "HSTLeaf"),
  OrderedDict: new PickleGlobal("collections", "OrderedDict"),
  Counter: new PickleGlobal("collections", "Counter"),
  defaultdict: new PickleGlobal("collections", "defaultdict"),
  deque: new PickleGlobal("collections", "deque"),
  deepcopy: new PickleGlobal("copy", "deepcopy"),
  partial: new PickleGlobal("functools", "partial"),
  Random: new PickleGlobal("random", "Random"),
  float: new PickleGlobal("builtins", "float"),
  tuple: new PickleGlobal("builtins", "tuple"),
  getattr: new PickleGlobal("builtins", "getattr")
} as const

export const allowedGlobals: ReadonlySet<string> = new Set(
  Object.values(riverGlobals).map(({ module, name }) => `${module}.${name}`)
)
