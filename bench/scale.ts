/**
 * A fleet comes back after a day without a network: does one collector take it all, and is all of it in the database?
 *
 * Every home sends its 1,440 records of a day in three posts back to back, as the real client does, with its 30 seconds
 * of patience and without ever trying again. Homes come at random moments of a few minutes, whether or not the server
 * keeps up.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { Agent } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Effect } from "effect"
import { hasVictoriaMetrics } from "../test/support/realParts.js"
import { type Database, runningDatabase } from "../test/support/victoriaMetrics.js"
import { cpuSeconds, journalOf, residentMb, startServer, submitTo } from "./server.js"
import { type Result, recordedBatch, seededRandom, spread } from "./support.js"

const homes = Number(process.env.BENCH_SCALE_HOMES ?? 5_000)
const arrivalSeconds = Number(process.env.BENCH_SCALE_SECONDS ?? 600)
const recordsADay = 1_440
const recordsPerPost = [500, 500, 440] as const
/** Days that differ from each other; homes share them. */
const variants = 16
/** What the client waits for an answer. */
const patienceMs = 30_000
const idOf = (home: number) => `3f2b8c1e-9a47-4d0e-8b65-${home.toString(16).padStart(12, "0")}`
const templateId = idOf(0)

/** The texts of a body's records, each as the client wrote it. Its strings hold no brackets. */
const recordsOf = (body: string): ReadonlyArray<string> => {
  const records: Array<string> = []
  let depth = 0
  let start = 0
  for (let at = body.indexOf('"data": [') + '"data": ['.length; depth > 0 || body[at] !== "]"; at++) {
    if (body[at] === "{" && depth++ === 0) start = at
    if (body[at] === "}" && --depth === 0) records.push(body.slice(start, at + 1))
  }
  return records
}

/** One day of a home in three bodies; `variant` says where in the recording it begins. */
const dayOf = (file: string, variant: number, lastSecond: number): ReadonlyArray<Buffer> => {
  const body = recordedBatch(file)
    .toString()
    .replace(/"installation_id": "[^"]+"/, `"installation_id": "${templateId}"`)
  const records = recordsOf(body)
  const at = body.indexOf('"data": [') + '"data": ['.length
  let minute = 0
  return recordsPerPost.map((count) => {
    const texts = Array.from({ length: count }, () => {
      const record = records[(variant * 29 + minute) % records.length]!
      const timestamp = lastSecond - 60 * (recordsADay - 1 - minute++)
      return record.replace(/"timestamp": [\d.]+/, `"timestamp": ${timestamp}.25`)
    })
    return Buffer.from(`${body.slice(0, at)}${texts.join(", ")}]}`)
  })
}

interface Tally {
  readonly latenciesMs: Array<number>
  /** Records acknowledged, by home. */
  readonly acknowledged: Array<number>
  failed: number
}

/** One home's posts; what fails is gone, as with the real client. */
const upload = async (port: number, home: number, day: ReadonlyArray<Buffer>, tally: Tally) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (const [part, template] of day.entries()) {
    const body = Buffer.from(template)
    body.write(idOf(home), body.indexOf(templateId))
    const sentAt = performance.now()
    const answer = await Promise.race([
      submitTo(port, agent, body).then(
        () => true,
        () => false
      ),
      sleep(patienceMs, false, { ref: false })
    ])
    if (answer) {
      tally.latenciesMs.push(performance.now() - sentAt)
      tally.acknowledged[home]! += recordsPerPost[part]!
    } else tally.failed++
  }
  agent.destroy()
}

/** How many records of each home the database has, by one sensor that every record holds. */
const countsIn = async (database: Database): Promise<ReadonlyMap<string, number>> => {
  await database.flush()
  const query = "sum(count_over_time(heatpump_metrics_temp_outside[3d])) by (installation_id)"
  const response = await fetch(`${database.url}/api/v1/query?query=${encodeURIComponent(query)}`)
  const { data } = (await response.json()) as {
    readonly data: {
      readonly result: ReadonlyArray<{
        readonly metric: { readonly installation_id: string }
        readonly value: [number, string]
      }>
    }
  }
  return new Map(data.result.map(({ metric, value }) => [metric.installation_id, Number(value[1])]))
}

const measure = async (database: Database): Promise<Result["rows"]> => {
  const lastSecond = Math.floor(Date.now() / 1000) - 60
  const days = Array.from({ length: variants }, (_, variant) =>
    dayOf(variant % 2 === 0 ? "flat_v1_500.json.gz" : "nested_v2_500.json.gz", variant, lastSecond)
  )
  const dataDir = mkdtempSync(join(tmpdir(), "telemetry-bench-"))
  const { child, port } = await startServer({ DATA_DIR: dataDir, VM_WRITE_URL: database.url })
  const tally: Tally = { latenciesMs: [], acknowledged: Array.from({ length: homes }, () => 0), failed: 0 }
  const random = seededRandom(9)
  const arrivals = Array.from({ length: homes }, () => random() * arrivalSeconds * 1000).sort((a, b) => a - b)

  let residentMax = 0
  let waitingMax = 0
  let isRunning = true
  const watch = async () => {
    while (isRunning) {
      residentMax = Math.max(residentMax, residentMb(child.pid!))
      waitingMax = Math.max(waitingMax, (await journalOf(port)).waiting_blocks)
      const sent = `${tally.latenciesMs.length} of ${homes * recordsPerPost.length} posts, ${tally.failed} failed`
      if (process.stderr.isTTY) process.stderr.write(`\r${sent} `)
      await sleep(1_000)
    }
  }
  const watching = watch()
  const cpuStart = cpuSeconds(child.pid!)
  const started = performance.now()
  const uploads = arrivals.map(async (arrivalMs, home) => {
    await sleep(arrivalMs)
    await upload(port, home, days[home % variants]!, tally)
  })
  await Promise.all(uploads)
  const acceptedSeconds = (performance.now() - started) / 1000
  while ((await journalOf(port)).waiting_blocks > 0) await sleep(100)
  const drainedSeconds = (performance.now() - started) / 1000
  isRunning = false
  await watching
  const cpuMs = (cpuSeconds(child.pid!) - cpuStart) * 1000
  child.kill("SIGTERM")
  await new Promise((resolve) => child.once("exit", resolve))
  const journalMb = statSync(join(dataDir, "telemetry.sqlite")).size / 1e6
  rmSync(dataDir, { recursive: true })

  const counts = await countsIn(database)
  const lost = tally.acknowledged.filter((records, home) => (counts.get(idOf(home)) ?? 0) < records).length
  const posts = tally.latenciesMs.length
  const records = tally.acknowledged.reduce((sum, count) => sum + count, 0)
  const latency = spread(tally.latenciesMs)
  return [
    { figure: "homes, posts, records acknowledged", value: `${homes}, ${posts}, ${records}` },
    { figure: "posts that failed or took longer than 30 s", value: tally.failed },
    { figure: "homes of which an acknowledged record is not in the database", value: lost },
    { figure: "homes came within, s", value: arrivalSeconds },
    { figure: "all accepted after, s", value: acceptedSeconds.toFixed(1) },
    { figure: "all in the database after, s", value: drainedSeconds.toFixed(1) },
    { figure: "M samples/s into the database", value: ((records * 137) / drainedSeconds / 1e6).toFixed(2) },
    {
      figure: "latency of a post, ms: median, p99, longest",
      value: [latency.median, latency.p99, latency.max].map((ms) => ms.toFixed(0)).join(", ")
    },
    { figure: "collector's CPU ms per post", value: (cpuMs / posts).toFixed(1) },
    { figure: "collector's resident MB at most", value: Math.round(residentMax) },
    { figure: "blocks waiting for the database at most", value: waitingMax },
    { figure: "journal's file, MB", value: Math.round(journalMb) }
  ]
}

export const run = async (): Promise<Result> => {
  const question = `${homes} homes come back after 24 h without a network, one collector and VictoriaMetrics on the same two cores`
  const target = "no acknowledged record lost, no client left waiting for longer than its 30 s"
  if (!hasVictoriaMetrics) return { question, target, rows: [{ note: "victoria-metrics is not installed" }] }
  const rows = await runningDatabase(["-memory.allowedBytes=2GB"]).pipe(
    Effect.flatMap((database) => Effect.promise(() => measure(database))),
    Effect.scoped,
    Effect.runPromise
  )
  return { question, target, rows }
}
