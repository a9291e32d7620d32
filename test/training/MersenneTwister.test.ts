import { assert, describe, it } from "@effect/vitest"
import { MersenneTwister } from "../../src/training/MersenneTwister.js"
import { golden } from "../support/river.js"

interface Seeded {
  readonly first10_random: ReadonlyArray<number>
  readonly first10_u32: ReadonlyArray<number>
  readonly state_first5: ReadonlyArray<number>
  readonly state_index: number
}

const seeds = ["42", "1", "0", "4294967296", "18446744073709563961", "-42"]
const recorded = golden<Readonly<Record<string, Seeded>>>("prng.json")
const draws = golden<Readonly<Record<string, ReadonlyArray<unknown>>>>("prng.json")

const times = <A>(count: number, draw: () => A): ReadonlyArray<A> => Array.from({ length: count }, draw)

describe("MersenneTwister", () => {
  it.each(seeds)("seed %s draws what CPython draws", (seed) => {
    const expected = recorded[seed]!
    const doubles = new MersenneTwister(BigInt(seed))
    const { words, index } = doubles.state()
    assert.deepStrictEqual([...words.subarray(0, 5)], expected.state_first5)
    assert.strictEqual(index, expected.state_index)
    assert.deepStrictEqual(
      times(10, () => doubles.random()),
      expected.first10_random
    )
    // Drawing has filled the state anew; what was taken of it stays.
    assert.deepStrictEqual([...words.subarray(0, 5)], expected.state_first5)
    const integers = new MersenneTwister(BigInt(seed))
    assert.deepStrictEqual(
      times(10, () => integers.nextUint32()),
      expected.first10_u32
    )
  })

  it("chooses by weight and draws from ranges as CPython does", () => {
    const choosing = new MersenneTwister(42)
    assert.deepStrictEqual(
      times(20, () => "abc"[choosing.weightedIndex([1, 0.5, 2])]),
      draws["choices_seed42_abc_w1_0.5_2"]
    )
    const ranging = new MersenneTwister(42)
    assert.deepStrictEqual(
      times(10, () => ranging.uniform(0.15, 0.85)),
      draws["uniform_seed42_0.15_0.85"]
    )
  })

  it("chooses at the ends of the range as bisection does: never a weight of 0, never past the last", () => {
    class Constant extends MersenneTwister {
      constructor(private readonly value: number) {
        super(0)
      }
      override random(): number {
        return this.value
      }
    }
    assert.strictEqual(new Constant(0).weightedIndex([0, 1, 2]), 1)
    assert.strictEqual(new Constant(0.5).weightedIndex([1, 1]), 1)
    // Rounds to all of the total.
    assert.strictEqual(new Constant(1 - 2 ** -53).weightedIndex([Number.MIN_VALUE, 0]), 1)
  })
})
