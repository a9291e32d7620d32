import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { seededOrder, splitByInstallation } from "../../src/training/Split.js"

const homes = (count: number) => Array.from({ length: count }, (_, i) => `home-${i}`)
const digest = (seed: number, name: string) => createHash("sha256").update(`${seed}:${name}`).digest("hex")

describe("splitByInstallation", () => {
  it.each([
    [5, 4, 1],
    [7, 6, 1],
    [8, 6, 2],
    [12, 10, 2],
    [100, 80, 20]
  ])("of %i homes fits %i and tests %i, in the order of their hashes", (count, fitted, tested) => {
    const [split, ...more] = splitByInstallation(homes(count), 42)
    assert.deepStrictEqual(more, [])
    assert.deepStrictEqual([split!.fit.length, split!.test.length], [fitted, tested])
    const order = [...split!.fit, ...split!.test]
    assert.deepStrictEqual([...order].sort(), homes(count).sort())
    const digests = order.map((name) => digest(42, name))
    assert.deepStrictEqual(digests, [...digests].sort())
  })

  it("fits the first five hundred of a large fleet, and tests the first 40 behind its 80 %", () => {
    const order = seededOrder(homes(2_000), 42)
    assert.deepStrictEqual(splitByInstallation(homes(2_000), 42), [
      { fit: order.slice(0, 500), test: order.slice(1_600, 1_640) }
    ])
  })

  it("depends on the seed and the names alone", () => {
    assert.deepStrictEqual(splitByInstallation(homes(9).reverse(), 1), splitByInstallation(homes(9), 1))
    assert.notDeepEqual(seededOrder(homes(9), 2), seededOrder(homes(9), 1))
  })

  it("tests each of two to four homes with a model of the others, and cannot split fewer", () => {
    for (const count of [2, 3, 4]) {
      const splits = splitByInstallation(homes(count), 3)
      assert.deepStrictEqual(
        splits.map(({ test }) => test),
        seededOrder(homes(count), 3).map((one) => [one])
      )
      for (const { fit, test } of splits) assert.deepStrictEqual([...fit, ...test].sort(), homes(count))
    }
    assert.deepStrictEqual(splitByInstallation(["one"], 3), [])
    assert.deepStrictEqual(splitByInstallation([], 3), [])
  })
})
