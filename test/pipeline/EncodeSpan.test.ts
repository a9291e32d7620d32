import { assert, it } from "@effect/vitest"
import { nowMs, throughPipeline } from "../support/throughPipeline.js"

it("no block spans more than two days, so that retention finds every sample; nothing is lost by it", async () => {
  const day = 86_400
  const at = (days: number, i: number) => nowMs / 1000 - days * day - i
  const records = [300, 299.5, 40, 3, 0].flatMap((days) =>
    Array.from({ length: 3 }, (_, i) => ({ timestamp: at(days, i), temp_outside: 1 }))
  )
  const body = (data: ReadonlyArray<unknown>) =>
    JSON.stringify({ installation_id: "3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3", data })
  const { blocks, points } = await throughPipeline(body(records))
  assert.lengthOf(points, records.length)
  assert.isAbove(blocks.length, 3)
  for (const { firstTimestampMs, lastTimestampMs } of blocks) {
    assert.isAtMost(lastTimestampMs - firstTimestampMs, 2 * day * 1000)
  }
  assert.strictEqual(
    blocks.reduce((sum, block) => sum + block.records, 0),
    records.length
  )
  assert.strictEqual((await throughPipeline(body(records))).receipt, (await throughPipeline(body(records))).receipt)
  assert.lengthOf((await throughPipeline(body(records.slice(-1)))).blocks, 1)
})
