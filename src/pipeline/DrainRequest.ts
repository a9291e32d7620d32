/** Waiting blocks → the bodies of write requests: compressed lines as they lie in the journal, never opened. */
import { gzipSync } from "node:zlib"
import type { WaitingBlock } from "../store/Journal.js"
import { activityMeasurement } from "../store/VictoriaMetricsStore.js"

/** Blocks in one request. */
const requestBlocks = 8
/** VictoriaMetrics reads up to 64 MB of lines per request; a sample takes 20 to 40 bytes. */
const requestSamples = 400_000

/** In order; each request of few enough blocks and samples. */
export const inRequests = (blocks: ReadonlyArray<WaitingBlock>): ReadonlyArray<ReadonlyArray<WaitingBlock>> => {
  const requests: Array<Array<WaitingBlock>> = []
  let samples = 0
  for (const block of blocks) {
    const request = requests.at(-1)
    samples += block.samples
    if (request === undefined || request.length === requestBlocks || samples > requestSamples) {
      requests.push([block])
      samples = block.samples
    } else request.push(block)
  }
  return requests
}

export const emptyBody = gzipSync("")

/** Two gzip members in a row are one valid body. */
export const bodyOf = (blocks: ReadonlyArray<WaitingBlock>, collector: string): Buffer => {
  const activity = blocks.map(
    (block) =>
      `${activityMeasurement},installation_id=${block.installationId},collector=${collector} records=${block.records},samples=${block.samples} ${block.activityAtMs}\n`
  )
  return Buffer.concat([...blocks.map(({ gzippedLines }) => gzippedLines), gzipSync(activity.join(""))])
}
