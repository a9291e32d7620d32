/** The short and the plain way of decoding on hundreds of thousands of bodies: `npm run test:soak`. */
import { assert, it } from "@effect/vitest"
import { kindsOfBodies, shareTaken } from "../support/bothWays.js"

const runs = { orderly: 120_000, any: 120_000, damaged: 240_000, real: 20_000 }

it.each(["orderly", "any", "damaged", "real"] as const)(
  "both ways come to the same: %s bodies",
  (kind) => {
    const taken = shareTaken(kind, runs[kind])
    process.stdout.write(`${runs[kind]} ${kind} bodies, the short way taken by ${(100 * taken).toFixed(1)} %\n`)
    assert.isAbove(taken, kindsOfBodies[kind].taken)
  },
  900_000
)
