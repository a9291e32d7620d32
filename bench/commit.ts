/** What does making a block durable cost, against appending the same bytes to a file and syncing it? */
import { randomBytes } from "node:crypto"
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { Journal } from "../src/store/Journal.js"
import { makeBlock, type Result, show, spread } from "./support.js"

const rounds = 500
const warmUp = 50
/** A real batch of 500 records, compressed. */
const blockBytes = 100_000

export const run = async (): Promise<Result> => {
  const directory = mkdtempSync(join(tmpdir(), "telemetry-bench-"))
  const file = openSync(join(directory, "floor"), "a")
  const floor: Array<number> = []
  const ours: Array<number> = []
  await Effect.gen(function* () {
    const journal = yield* Journal
    for (let round = 0; round < warmUp + rounds; round++) {
      const lines = randomBytes(blockBytes)
      const t0 = performance.now()
      writeSync(file, lines)
      fdatasyncSync(file)
      const t1 = performance.now()
      yield* journal.append([makeBlock(round, lines)])
      const t2 = performance.now()
      if (round < warmUp) continue
      floor.push(t1 - t0)
      ours.push(t2 - t1)
    }
  }).pipe(
    Effect.provide(
      Journal.layer({ file: join(directory, "telemetry.sqlite"), minFreeDiskBytes: 1, maxBytes: 2 ** 40 })
    ),
    Effect.runPromise
  )
  closeSync(file)
  rmSync(directory, { recursive: true })
  return {
    question: `One block of ${blockBytes / 1000} kB made durable, against append + fdatasync`,
    target: "none set; group commit shares it between submissions that come together",
    rows: [
      { way: "append + fdatasync, ms", value: show(spread(floor)) },
      { way: "journal: row, indexes, commit with synchronous=FULL, ms", value: show(spread(ours)) },
      { way: "ratio", value: show(spread(ours.map((ms, i) => ms / floor[i]!))) }
    ]
  }
}
