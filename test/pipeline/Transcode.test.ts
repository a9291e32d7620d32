import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { FieldNames } from "../../src/pipeline/FieldNames.js"
import { bodiesNowMs, orderlyBody } from "../support/bodies.js"
import { decoded, kindsOfBodies, plainly, shareTaken, takesShortWay } from "../support/bothWays.js"
import { type PayloadName, payloadNames, recentPayload, sentBody } from "../support/payloads.js"

/** As clients of other languages and habits would write a real body. */
const rewritten: Readonly<Record<string, (name: PayloadName) => string>> = {
  "as sent": (name) => sentBody(name).body,
  compact: (name) => JSON.stringify(recentPayload(name)),
  indented: (name) => JSON.stringify(recentPayload(name), null, "\t"),
  "records first": (name) => {
    const { data, ...envelope } = recentPayload(name)
    return JSON.stringify({ data, ...envelope })
  }
}

/** A mutant is seen in few bodies or in none. */
const share = process.env.STRYKER_MUTATOR_WORKER === undefined ? 1 : 0.04

describe("the short way", () => {
  it.each(payloadNames)("is taken by the real body %s, however it is written", (name) => {
    for (const [how, write] of Object.entries(rewritten)) {
      assert.isTrue(takesShortWay(Buffer.from(write(name)), Date.now()), how)
    }
  })

  it.each(["orderly", "any", "damaged", "real"] as const)(
    "comes to what the plain way comes to, or leaves it: %s bodies",
    (kind) => {
      assert.isAbove(shareTaken(kind, (kind === "real" ? 400 : 2_500) * share), kindsOfBodies[kind].taken)
    }
  )

  it("uses up a home's allowance of field names as the plain way does", () => {
    fc.assert(
      fc.property(fc.array(orderlyBody, { minLength: 2, maxLength: 8 }), fc.nat(6), (bodies, allowed) => {
        const [ours, plain] = [new FieldNames(allowed, 10), new FieldNames(allowed, 10)]
        for (const body of bodies) {
          assert.deepStrictEqual(decoded(body, bodiesNowMs, ours), plainly(body, bodiesNowMs, plain))
          assert.deepStrictEqual(ours.total, plain.total)
        }
      }),
      { numRuns: 300 * share }
    )
  })
})
