import { assert, layer } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import { InstallationId } from "../../src/domain/InstallationId.js"
import type { SubmitResult } from "../../src/http/Api.js"
import { Store } from "../../src/store/Store.js"
import { payloadNames, recentPayload } from "../support/payloads.js"
import { baseUrl, layerTestServer, submit } from "../support/testServer.js"

layer(layerTestServer(), { excludeTestServices: true })("POST /api/v1/submit", (it) => {
  it.effect.each(payloadNames)("accepts the real client's body %s", (name) =>
    Effect.gen(function* () {
      const payload = recentPayload(name)
      const base = yield* baseUrl
      const response = yield* Effect.promise(() => submit(base, payload))
      assert.strictEqual(response.status, 200)
      const result = yield* Effect.promise(() => response.json() as Promise<SubmitResult>)
      assert.strictEqual(result.processed, payload.data.length)
      const store = yield* Store
      const records = yield* Stream.runCollect(store.read(InstallationId.make(payload.installation_id)))
      assert.isAbove(Chunk.size(records), 0)
    })
  )
})
