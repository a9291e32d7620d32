import { gunzipSync, gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { bodyOf, emptyBody, inRequests } from "../../src/pipeline/DrainRequest.js"
import type { WaitingBlock } from "../../src/store/Journal.js"

const block = (id: number, samples: number): WaitingBlock => ({
  id,
  installationId: `home-${id % 3}`,
  activityAtMs: 1_700_000_000_000 + id,
  records: id + 1,
  samples,
  gzippedLines: gzipSync(`heatpump_metrics,installation_id=home-${id % 3} a=1 ${id}\n`)
})

describe("requests of the drain", () => {
  it("are in order, of 8 blocks and 400,000 samples at most, and no more of them than needed", () => {
    const sizes = fc.array(fc.oneof(fc.nat(1_000), fc.constantFrom(0, 1, 50_000, 200_000, 399_999, 400_000, 400_001)), {
      maxLength: 40
    })
    fc.assert(
      fc.property(sizes, (sizes) => {
        const blocks = sizes.map((samples, id) => block(id, samples))
        const requests = inRequests(blocks)
        assert.deepStrictEqual(requests.flat(), blocks)
        const samplesIn = (request: ReadonlyArray<WaitingBlock>) =>
          request.reduce((sum, { samples }) => sum + samples, 0)
        requests.forEach((request, i) => {
          assert.isTrue(request.length >= 1 && request.length <= 8)
          assert.isTrue(request.length === 1 || samplesIn(request) <= 400_000)
          const next = requests[i + 1]?.[0]
          if (next === undefined) return
          assert.isTrue(request.length === 8 || samplesIn([...request, next]) > 400_000, "the next would have fitted")
        })
      })
    )
  })

  it("hold the blocks' own lines, and behind them what each home sent when", () => {
    const body = bodyOf([block(4, 7), block(5, 8)], "c-1")
    assert.strictEqual(
      gunzipSync(body).toString(),
      [
        "heatpump_metrics,installation_id=home-1 a=1 4",
        "heatpump_metrics,installation_id=home-2 a=1 5",
        "heatpump_activity,installation_id=home-1,collector=c-1 records=5,samples=7 1700000000004",
        "heatpump_activity,installation_id=home-2,collector=c-1 records=6,samples=8 1700000000005",
        ""
      ].join("\n")
    )
    assert.strictEqual(gunzipSync(emptyBody).length, 0)
  })
})
