import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import type { FeatureKey } from "../../src/artifact/FeatureKey.js"
import { productKey } from "../../src/artifact/FeatureKey.js"
import { stageOf, vector } from "../../src/training/Stage.js"

const extender = { kind: "PolynomialExtender", degree: 2 } as const

describe("products", () => {
  it("that are needed are those of all that are, in their order, whatever features are called", () => {
    const name = fc.oneof(fc.constantFrom<FeatureKey>("a", "b", "a*b", "*", "", "3", 3, 0), fc.nat({ max: 12 }))
    const keys = fc.uniqueArray(name, { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(keys, fc.infiniteStream(fc.boolean()), (keys, choices) => {
        const input = vector(keys)
        for (let i = 0; i < keys.length; i++) input.out[i] = 1 + i / 8
        const all = stageOf(extender, input, undefined)
        const needed = new Set<FeatureKey>(["no such", 3, ...all.keys.filter(() => choices.next().value)])
        const some = stageOf(extender, input, needed)
        all.transform()
        some.transform()
        const positions = Array.from(all.keys.keys()).filter((i) => needed.has(all.keys[i]!))
        assert.deepStrictEqual(
          some.keys,
          positions.map((i) => all.keys[i]!)
        )
        assert.deepStrictEqual(
          [...some.out],
          positions.map((i) => all.out[i]!)
        )
      })
    )
  })

  it("of more features than all pairs of them could be held", () => {
    const keys = Array.from({ length: 50_000 }, (_, i) => i)
    const { keys: products } = stageOf(extender, vector(keys), new Set([productKey(7, 49_999), productKey(8, 8)]))
    assert.deepStrictEqual(products, ["7*49999", "8*8"])
  })
})

describe("projections", () => {
  it("of maps with every weight are the same sums, to the last bit, as of maps with some", () => {
    const value = fc.oneof(
      fc.double({ noNaN: true, min: -9, max: 9 }),
      fc.constantFrom(Number.NaN, 0, -0, 1e308, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY)
    )
    const weight = fc.oneof(fc.double({ noNaN: true, min: -9, max: 9 }), fc.constantFrom(0, -0, 1e-320, Infinity))
    const map = fc.tuple(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 9 })).chain(([width, nComponents]) =>
      fc.record({
        nComponents: fc.constant(nComponents),
        x: fc.array(value, { minLength: width, maxLength: width }),
        weights: fc.array(fc.array(weight, { minLength: nComponents, maxLength: nComponents }), {
          minLength: width,
          maxLength: width
        }),
        /** A pair that has no weight; mostly none of them. */
        without: fc.option(fc.tuple(fc.nat({ max: width - 1 }), fc.nat({ max: nComponents - 1 })), { freq: 3 })
      })
    )
    fc.assert(
      fc.property(map, ({ nComponents, weights, without, x }) => {
        const input = vector(x.map((_, i) => `f${i}`))
        const rows = weights.map((row, i) =>
          row.flatMap((weight, j) => (without?.[0] === i && without[1] === j ? [] : [[j, weight] as const]))
        )
        const { out, transform } = stageOf(
          {
            kind: "SparseRandomProjector",
            nComponents,
            seed: 0,
            weights: rows.map((components, i) => ({ feature: `f${i}`, components }))
          },
          input,
          undefined
        )
        const expected = new Float64Array(nComponents)
        rows.forEach((components, i) => {
          for (const [j, weight] of components) if (!Number.isNaN(x[i])) expected[j]! += weight * x[i]!
        })
        for (let pass = 0; pass < 2; pass++) {
          input.out.set(x)
          transform()
          assert.deepStrictEqual([...out], [...expected])
        }
      }),
      { numRuns: 300 }
    )
  })
})
