/** The short and the plain way of decoding on `FUZZ_BODIES` bodies; a million take a quarter of an hour. */
import { setImmediate } from "node:timers/promises"
import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import { anyBody, bodiesNowMs, changed, changes, orderlyBody } from "../support/bodies.js"
import { takesShortWay } from "../support/bothWays.js"
import { sentBody } from "../support/payloads.js"

const bodies = Number(process.env.FUZZ_BODIES ?? 50_000)
const bodiesPerRound = 50
const variantsPerBody = 20
const real = fc.constantFrom(...(["flat3", "nested3"] as const).map((name) => Buffer.from(sentBody(name).body)))

// The short way must take some of what is made for it, or the comparison means nothing: it takes a fifth of the orderly bodies
// and half of the real ones. Odd ones are there to be left; of a few hundred it may take none.
it.each([
  { kind: "orderly", body: orderlyBody, share: 0.7, leastTaken: 0.05, nowMs: bodiesNowMs },
  { kind: "odd", body: anyBody, share: 0.2, leastTaken: 0, nowMs: bodiesNowMs },
  { kind: "real", body: real, share: 0.1, leastTaken: 0.05, nowMs: Date.now() }
])(
  "both ways of decoding come to the same for $kind bodies and damaged ones",
  async ({ body, kind, leastTaken, nowMs, share }) => {
    let compared = 0
    let taken = 0
    for (; compared < bodies * share; await setImmediate()) {
      const damages = fc.sample(changes, bodiesPerRound * variantsPerBody)
      fc.sample(body, bodiesPerRound).forEach((body, i) => {
        if (takesShortWay(body, nowMs)) taken++
        for (const damage of damages.slice(i * variantsPerBody, (i + 1) * variantsPerBody)) {
          if (takesShortWay(changed(body, damage), nowMs)) taken++
        }
        compared += 1 + variantsPerBody
      })
    }
    process.stdout.write(`${compared} bodies (${kind}), the short way taken by ${taken}\n`)
    assert.isAtLeast(taken, compared * leastTaken)
  },
  1_800_000
)
