import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { answersAsPublished, hostileRequest, sendHostile } from "../support/fuzz.js"
import { accepted, baseUrl, layerTestServer, newHome } from "../support/testServer.js"

layer(layerTestServer({ ADDRESS_REQUESTS_PER_HOUR: "1000000" }), { excludeTestServices: true })(
  "hostile requests",
  (it) => {
    it.effect("are answered as documented, whatever they are, and cost nobody anything", () =>
      Effect.gen(function* () {
        const url = yield* baseUrl
        const problemOf = yield* Effect.promise(() => answersAsPublished(url))
        yield* Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(hostileRequest, async (request) => {
              assert.isUndefined(problemOf(request, await sendHostile(url, request)))
            }),
            { numRuns: 600 }
          )
        )
        const result = yield* accepted(newHome([{ timestamp: Date.now() / 1000, temp_outside: 1 }]))
        assert.strictEqual(result.processed, 1)
      })
    )
  }
)
