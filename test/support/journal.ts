/** Journals in files that go away after the tests, and blocks to put into them. */
import { createHash } from "node:crypto"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { Effect, Layer } from "effect"
import type { Block } from "../../src/domain/Block.js"
import { canonicalModel } from "../../src/domain/ModelName.js"
import { Journal, type JournalOptions } from "../../src/store/Journal.js"
import { makeJumpingClock } from "./clock.js"
import { freshDirectories } from "./directories.js"
import { installationOf } from "./storeHomes.js"
import { captureLogs } from "./testServer.js"

export const startMs = 1_795_000_000_000

/** For one test file, which calls it while it loads: options of journals in files that go away after its tests. */
export const freshJournals = () => {
  const freshDirectory = freshDirectories()
  return (others: Partial<JournalOptions> = {}): JournalOptions => ({
    file: join(freshDirectory(), "telemetry.sqlite"),
    minFreeDiskBytes: 0,
    maxBytes: 2 ** 20,
    ...others
  })
}

/** `bytes` of noise make it as long. */
export const blockOf = (home: number, number: number, bytes = 0): Block => {
  const noise = Buffer.from(Array.from({ length: bytes }, (_, i) => (i * i * 31 + i * (number + 7)) & 255)).toString(
    "hex"
  )
  const installationId = installationOf(home)
  const lines = `heatpump_metrics,installation_id=${installationId},model=M${number % 2},version=v value=${number} ${startMs}\n`
  return {
    installationId,
    heatpumpId: undefined,
    model: canonicalModel(`M${number % 2}`),
    version: "v",
    firstTimestampMs: startMs - number,
    lastTimestampMs: startMs,
    records: 1 + (number % 3),
    samples: 2 * (1 + (number % 3)),
    sha256: createHash("sha256").update(lines).digest(),
    gzippedLines: gzipSync(lines + noise)
  }
}

/** Each run opens the same file; the clock goes on. */
export const opened = (given: JournalOptions) => {
  const clock = makeJumpingClock(startMs)
  const logs = captureLogs()
  return {
    clock,
    logs,
    run: <A, E>(body: (journal: Journal["Type"]) => Effect.Effect<A, E>) =>
      Effect.flatMap(Journal, body).pipe(
        Effect.provide(Layer.provideMerge(Journal.layer(given), logs.layer)),
        Effect.withClock(clock.clock),
        Effect.runPromise
      )
  }
}

export const sizeOf = ({ gzippedLines }: Block): number => gzippedLines.length
export const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, n) => total + n, 0)
