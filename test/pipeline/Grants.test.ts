import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { rawAddress } from "../../src/domain/Address.js"
import { Grants } from "../../src/pipeline/Grants.js"
import { makeJumpingClock } from "../support/clock.js"

const address = (n: number) => rawAddress(`192.0.2.${n}`)
const looked = (n: number) =>
  Effect.flatMap(Grants, (grants) => Effect.map(grants.look(address(n)), Option.getOrUndefined))

describe("Grants", () => {
  it.live("are for the address they were given to, the last one, for fifteen minutes", () => {
    const { clock, jumpTo, nowMs } = makeJumpingClock(0)
    const pass = (minutes: number) => jumpTo(nowMs() + minutes * 60_000)
    return Effect.gen(function* () {
      const grants = yield* Grants
      assert.isUndefined(yield* looked(1))
      yield* grants.give(address(1), "A")
      yield* grants.give(address(2), "B")
      yield* pass(14)
      yield* grants.give(address(2), "C")
      assert.deepStrictEqual([yield* looked(1), yield* looked(2), yield* looked(3)], ["A", "C", undefined])
      yield* pass(1)
      assert.deepStrictEqual([yield* looked(1), yield* looked(2)], [undefined, "C"])
      // Given again after one that has expired.
      yield* grants.give(address(1), "D")
      assert.deepStrictEqual([yield* looked(1), yield* looked(2)], ["D", "C"])
    }).pipe(Effect.provide(Grants.layer), Effect.withClock(clock))
  })

  it.effect("are 100,000 at most: the oldest goes first", () =>
    Effect.gen(function* () {
      const grants = yield* Grants
      for (let n = 0; n < 100_001; n++) yield* grants.give(address(n), "A")
      assert.deepStrictEqual([yield* looked(0), yield* looked(1), yield* looked(100_000)], [undefined, "A", "A"])
    }).pipe(Effect.provide(Grants.layer))
  )
})
