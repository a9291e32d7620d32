/** Does the memory of the program stay flat while it drains a backlog of more blocks than 10 GB hold? */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { Effect } from "effect"
import type { Block } from "../src/domain/Block.js"
import { Journal } from "../src/store/Journal.js"
import { hasVictoriaMetrics } from "../test/support/realParts.js"
import { runningDatabase } from "../test/support/victoriaMetrics.js"
import { journalOf, residentMb, startServer } from "./server.js"
import { homeOf, makeBlock, type Result } from "./support.js"

/** A real batch of 500 records is a block of 93 to 124 kB; these are tiny, so that nothing but their number counts. */
const blocks = Number(process.env.BENCH_BACKLOG_BLOCKS ?? 143_000)
const appendedAtOnce = 500
const marks = 8

/** One record of home `number`. */
const smallBlock = (number: number): Block => {
  const timestampMs = Date.now() - 86_400_000 + number
  const line = `heatpump_metrics,installation_id=${homeOf(number)},model=bench,version=1 number=${number} ${timestampMs}\n`
  return makeBlock(number, gzipSync(line))
}

const fill = (file: string) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    for (let from = 0; from < blocks; from += appendedAtOnce) {
      const length = Math.min(appendedAtOnce, blocks - from)
      yield* journal.append(Array.from({ length }, (_, i) => smallBlock(from + i)))
    }
  }).pipe(Effect.provide(Journal.layer({ file, minFreeDiskBytes: 256 * 1024 * 1024, maxBytes: 2 ** 40 })))

export const run = async (): Promise<Result> => {
  const question = `Memory while ${blocks} waiting blocks drain into VictoriaMetrics`
  const target = "flat, whatever waits"
  if (!hasVictoriaMetrics) return { question, target, rows: [{ note: "victoria-metrics is not installed" }] }
  const dataDir = mkdtempSync(join(tmpdir(), "telemetry-bench-"))
  const rows: Array<Record<string, string | number>> = []
  await Effect.gen(function* () {
    yield* fill(join(dataDir, "telemetry.sqlite"))
    const database = yield* runningDatabase()
    yield* Effect.promise(async () => {
      const started = performance.now()
      const { child, port } = await startServer({
        DATA_DIR: dataDir,
        VM_WRITE_URL: database.url,
        VM_SETTLE_SECONDS: "2"
      })
      for (let mark = 1; mark <= marks; mark++) {
        const goal = Math.floor(blocks * (1 - mark / marks))
        let journal = await journalOf(port)
        while (journal.waiting_blocks > goal) {
          await new Promise((resolve) => setTimeout(resolve, 200))
          journal = await journalOf(port)
        }
        rows.push({
          "blocks waiting": journal.waiting_blocks,
          "seconds since the start": ((performance.now() - started) / 1000).toFixed(1),
          "resident MB": Math.round(residentMb(child.pid!))
        })
      }
      child.kill("SIGTERM")
      await new Promise((resolve) => child.once("exit", resolve))
    })
  }).pipe(Effect.scoped, Effect.runPromise)
  rmSync(dataDir, { recursive: true })
  return { question, target, rows }
}
