import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import type { HalfSpaceTreesStep } from "../../src/artifact/RiverPipeline.js"
import { HalfSpaceTrees } from "../../src/training/HalfSpaceTrees.js"

/** The definition, one tree after the other, without regard to cost: `river/anomaly/hst.py`. */
class Reference {
  constructor(readonly state: HalfSpaceTreesStep) {}

  #child(tree: number, node: number, masses: ReadonlyArray<number>, x: Float64Array): number {
    const { split, threshold } = this.state.trees[tree]!
    const value = x[split[node]!]!
    const isRight = Number.isNaN(value) ? masses[2 * node + 1]! < masses[2 * node + 2]! : value >= threshold[node]!
    return 2 * node + (isRight ? 2 : 1)
  }

  learnOne(x: Float64Array): Reference {
    const trees = this.state.trees.map((tree, t) => {
      const lMass = [...tree.lMass]
      for (let node = 0; ; node = this.#child(t, node, lMass, x)) {
        lMass[node]!++
        if ((tree.split[node] ?? -1) < 0) return { ...tree, lMass }
      }
    })
    const counter = this.state.counter + 1
    if (counter < this.state.windowSize) return new Reference({ ...this.state, trees, counter })
    const turned = trees.map(({ lMass, ...tree }) => ({ ...tree, rMass: lMass, lMass: lMass.map(() => 0) }))
    return new Reference({ ...this.state, trees: turned, counter: 0, firstWindow: false })
  }

  scoreOne(x: Float64Array): number {
    const { firstWindow, height, nTrees, trees, windowSize } = this.state
    if (firstWindow) return 0
    let sum = 0
    trees.forEach(({ lMass, rMass, split }, t) => {
      for (let node = 0, depth = 0; ; node = this.#child(t, node, lMass, x), depth++) {
        sum += rMass[node]! * 2 ** depth
        if ((split[node] ?? -1) < 0 || rMass[node]! < 0.1 * windowSize) break
      }
    })
    return 1 - sum / (nTrees * windowSize * (2 ** (height + 1) - 1))
  }
}

const nFeatures = 3
/** Few values, so that some lie on a threshold; some are missing. */
const value = fc.constantFrom(0, 0.25, 0.5, 0.75, 1, Number.NaN)
const record = fc.array(value, { minLength: nFeatures, maxLength: nFeatures }).map((x) => Float64Array.from(x))

const forest: fc.Arbitrary<HalfSpaceTreesStep> = fc
  .record({ height: fc.integer({ min: 0, max: 4 }), windowSize: fc.integer({ min: 1, max: 25 }) })
  .chain(({ height, windowSize }) => {
    const branches = 2 ** height - 1
    const arrayOf = <A>(each: fc.Arbitrary<A>, length: number) =>
      fc.array(each, { minLength: length, maxLength: length })
    const masses = arrayOf(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: windowSize })), 2 * branches + 1)
    const tree = fc.record({
      // Some branches end early.
      split: arrayOf(fc.constantFrom(0, 1, 2, 0, 1, 2, -1), branches),
      threshold: arrayOf(fc.constantFrom(0.25, 0.5, 0.75), branches),
      lMass: masses,
      rMass: masses
    })
    return fc.record({
      kind: fc.constant("HalfSpaceTrees" as const),
      nTrees: fc.integer({ min: 1, max: 4 }),
      height: fc.constant(height),
      windowSize: fc.constant(windowSize),
      limits: fc.constant([{ feature: "a", low: 0, high: 1 }]),
      seed: fc.constant(3),
      counter: fc.nat(windowSize - 1),
      firstWindow: fc.boolean(),
      features: fc.constant(["a", "b", "c"]),
      trees: fc.array(tree, { maxLength: 4 })
    })
  })

const action = fc.oneof(
  { weight: 5, arbitrary: record.map((x) => ({ does: "learn", x }) as const) },
  { weight: 5, arbitrary: record.map((x) => ({ does: "score", x }) as const) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom("save" as const, "restore" as const, "reload" as const)
      .map((does) => ({ does }) as const)
  }
)

describe("HalfSpaceTrees", () => {
  it("learn, score, save and restore as their definition does, from any state", () => {
    fc.assert(
      fc.property(forest, fc.array(action, { maxLength: 120 }), (step, actions) => {
        const before = structuredClone(step)
        let trees = new HalfSpaceTrees(step)
        let reference = new Reference(step)
        let restore = trees.save()
        let saved = reference
        for (const one of actions) {
          if (one.does === "learn") {
            trees.learnOne(one.x)
            reference = reference.learnOne(one.x)
          } else if (one.does === "score") {
            assert.strictEqual(trees.scoreOne(one.x), reference.scoreOne(one.x))
          } else if (one.does === "save") {
            restore = trees.save()
            saved = reference
          } else if (one.does === "restore") {
            restore()
            reference = saved
          } else {
            trees = new HalfSpaceTrees(trees.toStep())
            restore = trees.save()
            saved = reference
          }
        }
        assert.deepStrictEqual(trees.toStep(), reference.state)
        assert.deepStrictEqual(step, before)
      }),
      { numRuns: 300 }
    )
  })
})
