import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { anyBody, bodiesNowMs, change, changed, orderlyBody } from "../support/bodies.js"
import { plainly, shortly } from "../support/bothWays.js"
import { type PayloadName, payloadNames, recentPayload, sentBody } from "../support/payloads.js"

/** Both ways agree on a body, or the short one leaves it; whether it took it. */
const agree = (body: Buffer, nowMs = bodiesNowMs): boolean => {
  const short = shortly(body, nowMs)
  if (short !== undefined) assert.deepStrictEqual(short, plainly(body, nowMs), body.toString("latin1"))
  return short !== undefined
}

/** As clients of other languages and habits would write a real body. */
const rewritten: ReadonlyArray<(name: PayloadName) => string> = [
  (name) => sentBody(name).body,
  (name) => JSON.stringify(recentPayload(name)),
  (name) => JSON.stringify(recentPayload(name), null, "\t"),
  (name) => {
    const { data, ...envelope } = recentPayload(name)
    return JSON.stringify({ data, ...envelope })
  }
]

describe("the short way", () => {
  it.each(payloadNames)("is taken by the real body %s, however it is written", (name) => {
    for (const write of rewritten) assert.isTrue(agree(Buffer.from(write(name)), Date.now()))
  })

  it("comes to what the plain way comes to, or to nothing", () => {
    let taken = 0
    fc.assert(
      fc.property(orderlyBody, (body) => {
        if (agree(body)) taken++
      }),
      { numRuns: 4_000 }
    )
    assert.isAbove(taken, 1_000)
    fc.assert(
      fc.property(anyBody, (body) => {
        agree(body)
      }),
      { numRuns: 3_000 }
    )
  })

  it("does so for bodies with damaged bytes", () => {
    fc.assert(
      fc.property(orderlyBody, fc.array(change, { minLength: 1, maxLength: 3 }), (body, changes) => {
        agree(changed(body, changes))
      }),
      { numRuns: 5_000 }
    )
  })
})
