/**
 * River 0.23.0 `anomaly.HalfSpaceTrees` on typed arrays: scores are equal to the last bit, and so are splits, masses
 * and the draws from the random generator.
 *
 * Good at records that stand alone in some direction of some feature; blind to a broken relation between features that
 * each stay in their usual range (whiten them first), and to anomalies that come in crowds.
 *
 * Invariants. Node i of tree t, in heap order, lies at `t × (2^(h+1) − 1) + i` of every array; `split` is −1 at a leaf.
 * `touchedL` and `touchedR` list every node whose mass in the window being learned, or in the last complete one, is not
 * 0: a window's end swaps the arrays and clears only what was touched. Masses are integers, so the order of sums does
 * not matter. All trees are walked together, level by level: the processor then waits for many of them at once instead
 * of for one after the other, which saves a third of the time, half with large trees.
 *
 * Input: one vector, indexed as `features`; NaN marks a feature that the record does not have (River would send the
 * *value* NaN right; records here never hold one). A missing feature goes to the child with more records in the window
 * being learned, left when equal.
 *
 * Cost per record, learning or scoring: at most trees × (height + 1) node visits; no allocation.
 *
 * Sources: S. C. Tan, K. M. Ting, T. F. Liu, "Fast anomaly detection for streaming data", IJCAI 2011;
 * `river/anomaly/hst.py` at 0.23.0, from which the constants below come.
 */
import type { FeatureKey } from "../artifact/FeatureKey.js"
import type { HalfSpaceTreesStep } from "../artifact/RiverPipeline.js"
import { MersenneTwister } from "./MersenneTwister.js"

/** Share of a cell's width, at either end, in which no split is placed. */
const padding = 0.15
/** A node with less than this share of a window ends the walk that scores. */
const sizeLimitShare = 0.1

/** Parameters of a forest that is to be grown, as River names them. */
export type Parameters = Pick<HalfSpaceTreesStep, "nTrees" | "height" | "windowSize" | "limits" | "seed">

/** As River constructs it: the trees are grown when the first record is learned. */
export const untrained = (parameters: Parameters): HalfSpaceTreesStep => ({
  kind: "HalfSpaceTrees",
  nTrees: parameters.nTrees,
  height: parameters.height,
  windowSize: parameters.windowSize,
  limits: parameters.limits,
  seed: parameters.seed,
  counter: 0,
  firstWindow: true,
  features: [],
  trees: []
})

export class HalfSpaceTrees {
  readonly features: ReadonlyArray<FeatureKey>
  readonly #parameters: Parameters
  readonly #trees: number
  readonly #branches: number
  readonly #nodes: number
  readonly #split: Int32Array
  readonly #threshold: Float64Array
  /** The walks under way, all trees together level by level: their tree's first node, and where they are in it. */
  readonly #firstNode: Int32Array
  readonly #at: Int32Array
  #lMass: Float64Array
  #rMass: Float64Array
  #touchedL: Int32Array
  #touchedR: Int32Array
  #nTouchedL = 0
  #nTouchedR = 0
  #counter: number
  #firstWindow: boolean

  /** The forest that `step` holds, which is left as it is. */
  constructor(step: HalfSpaceTreesStep) {
    this.features = step.features
    this.#parameters = step
    this.#trees = step.trees.length
    this.#branches = 2 ** step.height - 1
    this.#nodes = 2 ** (step.height + 1) - 1
    this.#split = new Int32Array(this.#trees * this.#nodes).fill(-1)
    this.#threshold = new Float64Array(this.#trees * this.#nodes)
    this.#firstNode = new Int32Array(this.#trees)
    this.#at = new Int32Array(this.#trees)
    this.#lMass = new Float64Array(this.#trees * this.#nodes)
    this.#rMass = new Float64Array(this.#trees * this.#nodes)
    // Learning writes one place ahead, which costs less than asking whether to write.
    this.#touchedL = new Int32Array(this.#trees * this.#nodes + 1)
    this.#touchedR = new Int32Array(this.#trees * this.#nodes + 1)
    this.#counter = step.counter
    this.#firstWindow = step.firstWindow
    for (const [t, tree] of step.trees.entries()) {
      this.#split.set(tree.split, t * this.#nodes)
      this.#threshold.set(tree.threshold, t * this.#nodes)
      this.#lMass.set(tree.lMass, t * this.#nodes)
      this.#rMass.set(tree.rMass, t * this.#nodes)
    }
    this.#lMass.forEach((mass, node) => {
      if (mass !== 0) this.#touchedL[this.#nTouchedL++] = node
    })
    this.#rMass.forEach((mass, node) => {
      if (mass !== 0) this.#touchedR[this.#nTouchedR++] = node
    })
  }

  /** Random trees as River grows them, the features in ascending order; nothing learned yet. */
  static grow(parameters: Parameters, features: ReadonlyArray<FeatureKey>, rng = new MersenneTwister(parameters.seed)) {
    const { nTrees, height } = parameters
    const limitOf = new Map(parameters.limits.map((limit) => [limit.feature, limit]))
    const branches = 2 ** height - 1
    const low = new Float64Array(features.length)
    const high = new Float64Array(features.length)
    const width = new Float64Array(features.length)
    const trees = Array.from({ length: nTrees }, () => {
      const split = new Array<number>(branches).fill(-1)
      const threshold = new Array<number>(branches).fill(0)
      features.forEach((feature, i) => {
        low[i] = limitOf.get(feature)?.low ?? 0
        high[i] = limitOf.get(feature)?.high ?? 1
      })
      const splitCell = (node: number): void => {
        if (node >= branches) return
        for (let i = 0; i < width.length; i++) width[i] = high[i]! - low[i]!
        const on = rng.weightedIndex(width)
        const a = low[on]!
        const b = high[on]!
        const at = rng.uniform(a + padding * (b - a), b - padding * (b - a))
        split[node] = on
        threshold[node] = at
        high[on] = at
        splitCell(2 * node + 1)
        high[on] = b
        low[on] = at
        splitCell(2 * node + 2)
        low[on] = a
      }
      splitCell(0)
      const massless = new Array<number>(2 * branches + 1).fill(0)
      return { split, threshold, lMass: massless, rMass: massless }
    })
    return new HalfSpaceTrees({ ...untrained(parameters), features, trees })
  }

  learnOne(x: Float64Array): void {
    const split = this.#split
    const threshold = this.#threshold
    const lMass = this.#lMass
    const touched = this.#touchedL
    const firstNode = this.#firstNode
    const at = this.#at
    let nTouched = this.#nTouchedL
    let walking = this.#start()
    while (walking > 0) {
      let going = 0
      for (let i = 0; i < walking; i++) {
        const first = firstNode[i]!
        const node = at[i]!
        const mass = lMass[first + node]!
        lMass[first + node] = mass + 1
        touched[nTouched] = first + node
        nTouched += Number(mass === 0)
        const feature = split[first + node]!
        if (feature < 0) continue
        const value = x[feature]!
        const left = 2 * node + 1
        firstNode[going] = first
        at[going++] = Number.isNaN(value)
          ? left + Number(lMass[first + left]! < lMass[first + left + 1]!)
          : left + Number(value >= threshold[first + node]!)
      }
      walking = going
    }
    this.#nTouchedL = nTouched
    if (++this.#counter === this.#parameters.windowSize) this.#endWindow()
  }

  /** From 0, where most records are, to 1; 0 until the first window is complete. */
  scoreOne(x: Float64Array): number {
    if (this.#firstWindow) return 0
    const split = this.#split
    const threshold = this.#threshold
    const lMass = this.#lMass
    const rMass = this.#rMass
    const firstNode = this.#firstNode
    const at = this.#at
    const sizeLimit = sizeLimitShare * this.#parameters.windowSize
    let score = 0
    let walking = this.#start()
    for (let weight = 1; walking > 0; weight *= 2) {
      let going = 0
      for (let i = 0; i < walking; i++) {
        const first = firstNode[i]!
        const node = at[i]!
        const mass = rMass[first + node]!
        score += mass * weight
        const feature = split[first + node]!
        if (feature < 0) continue
        const value = x[feature]!
        const left = 2 * node + 1
        firstNode[going] = first
        at[going] = Number.isNaN(value)
          ? left + Number(lMass[first + left]! < lMass[first + left + 1]!)
          : left + Number(value >= threshold[first + node]!)
        going += Number(mass >= sizeLimit)
      }
      walking = going
    }
    return 1 - score / (this.#parameters.nTrees * this.#parameters.windowSize * this.#nodes)
  }

  /** Keeps the state; the result puts it back. Costs a copy of the masses each way. */
  save(): () => void {
    const [lMass, rMass, touchedL, touchedR] = [
      this.#lMass.slice(),
      this.#rMass.slice(),
      this.#touchedL.slice(0, this.#nTouchedL),
      this.#touchedR.slice(0, this.#nTouchedR)
    ]
    const [counter, firstWindow] = [this.#counter, this.#firstWindow]
    return () => {
      this.#lMass.set(lMass)
      this.#rMass.set(rMass)
      this.#touchedL.set(touchedL)
      this.#touchedR.set(touchedR)
      this.#nTouchedL = touchedL.length
      this.#nTouchedR = touchedR.length
      this.#counter = counter
      this.#firstWindow = firstWindow
    }
  }

  toStep(): HalfSpaceTreesStep {
    const { nTrees, height, windowSize, limits, seed } = this.#parameters
    const part = (all: Int32Array | Float64Array, t: number, length: number) =>
      Array.from(all.subarray(t * this.#nodes, t * this.#nodes + length))
    return {
      kind: "HalfSpaceTrees",
      nTrees,
      height,
      windowSize,
      limits,
      seed,
      counter: this.#counter,
      firstWindow: this.#firstWindow,
      features: this.features,
      trees: Array.from({ length: this.#trees }, (_, t) => ({
        split: part(this.#split, t, this.#branches),
        threshold: part(this.#threshold, t, this.#branches),
        lMass: part(this.#lMass, t, this.#nodes),
        rMass: part(this.#rMass, t, this.#nodes)
      }))
    }
  }

  /** Puts a walk at the root of every tree. */
  #start(): number {
    for (let t = 0; t < this.#trees; t++) this.#firstNode[t] = t * this.#nodes
    this.#at.fill(0)
    return this.#trees
  }

  /** The masses learned become the ones that score; learning begins again at 0. */
  #endWindow(): void {
    const cleared = this.#rMass
    const touched = this.#touchedR
    for (let i = 0; i < this.#nTouchedR; i++) cleared[touched[i]!] = 0
    this.#rMass = this.#lMass
    this.#touchedR = this.#touchedL
    this.#nTouchedR = this.#nTouchedL
    this.#lMass = cleared
    this.#touchedL = touched
    this.#nTouchedL = 0
    this.#counter = 0
    this.#firstWindow = false
  }
}
