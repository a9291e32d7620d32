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
