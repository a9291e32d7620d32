/** The steps of a pipeline on dense vectors; NaN marks a feature that the record does not have. */
import { type FeatureKey, productKey } from "../artifact/FeatureKey.js"
import type {
  RollingMeanStep,
  SparseRandomProjectorStep,
  Step,
  ThresholdFilterStep,
  TransformerUnionStep
} from "../artifact/RiverPipeline.js"
import { HalfSpaceTrees } from "./HalfSpaceTrees.js"
import { MinMaxScaler } from "./MinMaxScaler.js"
import { RollingMean } from "./RollingMean.js"
import { StandardScaler } from "./StandardScaler.js"

/** A step that reads one fixed vector and writes another. */
export interface Stage {
  readonly keys: ReadonlyArray<FeatureKey>
  readonly out: Float64Array
  /** false: no step behind this one may learn the record. */
  readonly learn: () => boolean
  readonly transform: () => void
  /** Keeps what it has learned; the result puts it back. */
  readonly save: () => () => void
}

export type Vector = Pick<Stage, "keys" | "out">

const learnsNothing = () => true
const nothing = () => {}
const savesNothing = () => nothing

/** Copies what `keys` name out of a vector, NaN for what it does not have. */
export const gather = (input: Vector, keys: ReadonlyArray<FeatureKey>): { out: Float64Array; read: () => void } => {
  const from = keys.map((key) => input.keys.indexOf(key))
  if (keys.length === input.keys.length && from.every((index, i) => index === i)) {
    return { out: input.out, read: nothing }
  }
  const index = Int32Array.from(from)
  const out = new Float64Array(keys.length).fill(Number.NaN)
  const read = () => {
    for (let i = 0; i < index.length; i++) if (index[i]! >= 0) out[i] = input.out[index[i]!]!
  }
  return { out, read }
}

export const vector = (keys: ReadonlyArray<FeatureKey>): Vector => ({ keys, out: new Float64Array(keys.length) })

const scale = (input: Vector, scaler: StandardScaler | MinMaxScaler): Stage => {
  const { keys, out } = vector(input.keys)
  const learn = () => {
    scaler.learnOne(input.out)
    return true
  }
  return { keys, out, learn, transform: () => scaler.transformOne(input.out, out), save: () => scaler.save() }
}

interface Weight {
  readonly source: number
  readonly component: number
  readonly weight: number
}

const projectSparsely = (input: Vector, out: Float64Array, entries: ReadonlyArray<Weight>) => {
  const source = Int32Array.from(entries, (entry) => entry.source)
  const component = Int32Array.from(entries, (entry) => entry.component)
  const weight = Float64Array.from(entries, (entry) => entry.weight)
  return () => {
    const x = input.out
    out.fill(0)
    for (let k = 0; k < source.length; k++) {
      const value = x[source[k]!]!
      if (!Number.isNaN(value)) out[component[k]!]! += weight[k]! * value
    }
  }
}

const lanes = 4

/**
 * The same sums in the same order, four components side by side: a quarter of the time. Only where every source has a
 * finite weight in every component: a missing value may then be a 0, which no sum shows, and no infinite value meets a
 * weight that was not there.
 */
const projectDensely = (input: Vector, out: Float64Array, entries: ReadonlyArray<Weight>) => {
  const source = Int32Array.from(new Set(entries.map((entry) => entry.source)))
  const width = source.length
  if (entries.length === 0 || entries.length !== width * out.length) return undefined
  const column = new Map(Array.from(source, (from, k) => [from, k]))
  // By block of four components, then by source.
  const weights = new Float64Array(Math.ceil(out.length / lanes) * lanes * width)
  const pairs = new Set<number>()
  for (const { component, source, weight } of entries) {
    if (!(component < out.length && Number.isFinite(weight))) return undefined
    const block = Math.floor(component / lanes)
    const at = (block * width + column.get(source)!) * lanes + (component % lanes)
    weights[at] = weight
    pairs.add(at)
  }
  if (pairs.size !== entries.length) return undefined
  const present = new Float64Array(width)
  const sums = new Float64Array(weights.length / width)
  const result = sums.subarray(0, out.length)
  return () => {
    for (let k = 0; k < width; k++) {
      const value = input.out[source[k]!]!
      present[k] = Number.isNaN(value) ? 0 : value
    }
    let at = 0
    for (let i = 0; i < sums.length; i += lanes) {
      let sum0 = 0
      let sum1 = 0
      let sum2 = 0
      let sum3 = 0
      for (let k = 0; k < width; k++, at += lanes) {
        const value = present[k]!
        sum0 += weights[at]! * value
        sum1 += weights[at + 1]! * value
        sum2 += weights[at + 2]! * value
        sum3 += weights[at + 3]! * value
      }
      sums[i] = sum0
      sums[i + 1] = sum1
      sums[i + 2] = sum2
      sums[i + 3] = sum3
    }
    out.set(result)
  }
}

const project = (input: Vector, { nComponents, weights }: SparseRandomProjectorStep): Stage => {
  const { keys, out } = vector(Array.from({ length: nComponents }, (_, i) => i))
  const rowOf = new Map(weights.map((row) => [row.feature, row.components]))
  const entries = input.keys.flatMap((key, source) =>
    (rowOf.get(key) ?? []).map(([component, weight]) => ({ source, component, weight }))
  )
  const transform = projectDensely(input, out, entries) ?? projectSparsely(input, out, entries)
  return { keys, out, learn: learnsNothing, transform, save: savesNothing }
}

interface Product {
  readonly key: string
  readonly left: number
  /** −1 for a feature alone. */
  readonly right: number
}

/** Every feature alone, then every pair with squares, in River's order. */
const everyProduct = (keys: ReadonlyArray<FeatureKey>): ReadonlyArray<Product> => [
  ...keys.map((key, left): Product => ({ key: String(key), left, right: -1 })),
  ...keys.flatMap((a, left) =>
    keys.slice(left).map((b, i): Product => ({ key: productKey(a, b), left, right: left + i }))
  )
]

/**
 * Those of them that are needed, found by their names: a file may have so many features that nobody could hold all
 * pairs.
 */
const neededProducts = (keys: ReadonlyArray<FeatureKey>, needed: ReadonlySet<FeatureKey>): ReadonlyArray<Product> => {
  const positions = new Map<string, Array<number>>()
  for (const [i, key] of keys.entries()) positions.set(String(key), [...(positions.get(String(key)) ?? []), i])
  // One product may be found at several stars of its name.
  const products = new Map<string, Product>()
  const add = (product: Product) => products.set(`${product.left} ${product.right}`, product)
  for (const key of needed) {
    if (typeof key === "number") continue
    for (const left of positions.get(key) ?? []) add({ key, left, right: -1 })
    for (let star = key.indexOf("*"); star >= 0; star = key.indexOf("*", star + 1)) {
      const [first, second] = [key.slice(0, star), key.slice(star + 1)]
      for (const a of positions.get(first) ?? []) {
        for (const b of positions.get(second) ?? []) {
          const [left, right] = a < b ? [a, b] : [b, a]
          if (productKey(keys[left]!, keys[right]!) === key) add({ key, left, right })
        }
      }
    }
  }
  const isPair = ({ right }: Product) => (right < 0 ? 0 : 1)
  return [...products.values()].sort((p, q) => isPair(p) - isPair(q) || p.left - q.left || p.right - q.right)
}

const multiply = (input: Vector, needed: ReadonlySet<FeatureKey> | undefined): Stage => {
  const products = needed === undefined ? everyProduct(input.keys) : neededProducts(input.keys, needed)
  const { keys, out } = vector(products.map(({ key }) => key))
  const left = Int32Array.from(products, (product) => product.left)
  const right = Int32Array.from(products, (product) => product.right)
  const transform = () => {
    const x = input.out
    for (let k = 0; k < left.length; k++) out[k] = right[k]! < 0 ? x[left[k]!]! : x[left[k]!]! * x[right[k]!]!
  }
  return { keys, out, learn: learnsNothing, transform, save: savesNothing }
}

const average = (input: Vector, step: RollingMeanStep): Stage => {
  const { keys, out } = vector([`${step.on}_mean`])
  const mean = new RollingMean(step)
  const source = input.keys.indexOf(step.on)
  const learn = () => {
    if (source >= 0) mean.update(input.out[source]!)
    return true
  }
  const transform = () => {
    out[0] = mean.get()
  }
  return { keys, out, learn, transform, save: () => mean.save() }
}

/** Members are packed together last first, and an earlier member's feature wins, as in Python's `ChainMap`. */
const unite = (input: Vector, { members }: TransformerUnionStep): Stage => {
  const stages = members.map((member) =>
    member.kind === "RollingMean" ? average(input, member) : project(input, member)
  )
  const { keys, out } = vector([...new Set(stages.toReversed().flatMap((stage) => stage.keys))])
  const parts = stages.map((stage) => ({ out: stage.out, to: stage.keys.map((key) => keys.indexOf(key)) })).toReversed()
  const learn = () => {
    for (const stage of stages) stage.learn()
    return true
  }
  const transform = () => {
    for (const stage of stages) stage.transform()
    for (const part of parts) for (let i = 0; i < part.to.length; i++) out[part.to[i]!] = part.out[i]!
  }
  const save = () => {
    const restore = stages.map((stage) => stage.save())
    return () => {
      for (const each of restore) each()
    }
  }
  return { keys, out, learn, transform, save }
}

const guard = (input: Vector, step: ThresholdFilterStep): Stage => {
  const trees = new HalfSpaceTrees(step.detector)
  const own = gather(input, trees.features)
  const isAnomalous = () => trees.scoreOne(own.out) >= step.threshold
  const learn = () => {
    own.read()
    if (step.protect && !isAnomalous()) trees.learnOne(own.out)
    return !isAnomalous()
  }
  return { keys: input.keys, out: input.out, learn, transform: nothing, save: () => trees.save() }
}

/** `needed`: the features of its output that are read, undefined when it is every one. */
export const stageOf = (step: Step, input: Vector, needed: ReadonlySet<FeatureKey> | undefined): Stage => {
  switch (step.kind) {
    case "StandardScaler":
      return scale(input, new StandardScaler(input.keys, step))
    case "MinMaxScaler":
      return scale(input, new MinMaxScaler(input.keys, step))
    case "SparseRandomProjector":
      return project(input, step)
    case "PolynomialExtender":
      return multiply(input, needed)
    case "TransformerUnion":
      return unite(input, step)
    case "ThresholdFilter":
      return guard(input, step)
  }
}
