/** What does the way through the collector cost, compared with writing the same lines straight into VictoriaMetrics? */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { Agent } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { Effect } from "effect"
import { ByteBuffer, makeBufferPool } from "../src/pipeline/ByteBuffer.js"
import { submissionOf } from "../src/pipeline/Decode.js"
import { writeLines } from "../src/pipeline/Encode.js"
import { hasVictoriaMetrics } from "../test/support/realParts.js"
import { type Database, freePort, runningDatabase } from "../test/support/victoriaMetrics.js"
import { cpuSeconds, journalOf, residentMb, send, startServer, submitTo } from "./server.js"
import { type Result, recordedBatch, show, spread } from "./support.js"

const batches = Number(process.env.BENCH_DATABASE_BATCHES ?? 60)
const rounds = 5
/** Batches before the clock starts, so that both programs have their code compiled. */
const warmUp = 20
const connections = 4
const samplesPerBatch = 500 * 137
const hasAgent = spawnSync("vmagent", ["-version"], { stdio: "ignore" }).error === undefined
const yearMs = 365 * 86_400_000

/** The same batch as from another home. */
const asHome = (template: Buffer, number: number): Buffer => {
  const body = Buffer.from(template)
  const idAt = /"installation_id": "/.exec(body.subarray(0, 4_096).toString("latin1"))
  body.write(number.toString(16).padStart(8, "0"), idAt!.index + idAt![0].length)
  return body
}

/** The lines that the collector makes of a body. */
const linesOf = (body: Buffer): Promise<Buffer> =>
  Effect.gen(function* () {
    const submission = yield* submissionOf(JSON.parse(body.toString()), Date.now(), yearMs, new ByteBuffer())
    return yield* makeBufferPool()((buffer) =>
      Effect.sync(() => {
        writeLines(buffer, submission, 0)
        return Buffer.from(buffer.written())
      })
    )
  }).pipe(Effect.runPromise)

const inParallel = async (from: number, until: number, work: (i: number) => Promise<void>) => {
  let next = from
  const client = async () => {
    while (next < until) await work(next++)
  }
  await Promise.all(Array.from({ length: connections }, client))
}

const portOf = ({ url }: Database) => Number(new URL(url).port)

export const run = async (): Promise<Result> => {
  const question = `${batches} real batches of 500 records and 137 sensors into VictoriaMetrics on the same two cores`
  const target = "through the collector ≥ 0.6 × straight to /write, and ≥ 4 × the reference's 0.5 M samples/s"
  if (!hasVictoriaMetrics)
    return { question, target, rows: [{ side: "not measured: victoria-metrics is not installed" }] }
  const template = recordedBatch("flat_v1_500.json.gz")
  const bodies = Array.from({ length: warmUp + batches }, (_, i) => asHome(template, i))
  const lines = await Promise.all(bodies.map(linesOf))
  const samples = (batches * samplesPerBatch) / 1e6
  const straight: Array<number> = []
  const throughAgent: Array<number> = []
  const collected: Array<number> = []
  const cpu: Array<number> = []
  let residentMax = 0
  for (let round = 0; round < rounds; round++) {
    // Both sides start with an empty database.
    await withDatabase(async (database) => {
      const agent = new Agent({ keepAlive: true, maxSockets: connections })
      const write = (i: number) => send(portOf(database), agent, "/write?precision=ms", lines[i]!)
      await inParallel(0, warmUp, write)
      const start = performance.now()
      await inParallel(warmUp, warmUp + batches, write)
      straight.push((samples / (performance.now() - start)) * 1000)
      agent.destroy()
    })
    if (hasAgent) {
      await withDatabase((database) =>
        withAgent(database, async (port) => {
          const agent = new Agent({ keepAlive: true, maxSockets: connections })
          const write = (i: number) => send(port, agent, "/write?precision=ms", lines[i]!)
          const allBut = async (missing: number) => {
            const all = (warmUp + batches - missing) * samplesPerBatch
            while ((await remoteWritten(database)) < all) await setTimeout(10)
          }
          await inParallel(0, warmUp, write)
          await allBut(batches)
          const start = performance.now()
          await inParallel(warmUp, warmUp + batches, write)
          await allBut(0)
          throughAgent.push((samples / (performance.now() - start)) * 1000)
          agent.destroy()
        })
      )
    }
    await withDatabase(async (database) => {
      const dataDir = mkdtempSync(join(tmpdir(), "telemetry-bench-"))
      const { child, port } = await startServer({ DATA_DIR: dataDir, VM_WRITE_URL: database.url })
      const agent = new Agent({ keepAlive: true, maxSockets: connections })
      const write = (i: number) => submitTo(port, agent, bodies[i]!)
      const drained = async () => {
        while ((await journalOf(port)).waiting_blocks > 0) await setTimeout(10)
      }
      await inParallel(0, warmUp, write)
      await drained()
      const cpuStart = cpuSeconds(child.pid!)
      const start = performance.now()
      await inParallel(warmUp, warmUp + batches, write)
      await drained()
      collected.push((samples / (performance.now() - start)) * 1000)
      cpu.push(((cpuSeconds(child.pid!) - cpuStart) * 1000) / batches)
      residentMax = Math.max(residentMax, residentMb(child.pid!))
      agent.destroy()
      child.kill("SIGTERM")
      await once(child, "exit")
      rmSync(dataDir, { recursive: true })
    })
  }
  const ratios = collected.map((value, i) => value / straight[i]!)
  return {
    question,
    target,
    rows: [
      { side: "straight to /write, M samples/s", value: show(spread(straight)) },
      { side: "through the collector until all is written, M samples/s", value: show(spread(collected)) },
      {
        side: "vmagent in front of it, nothing durable when it answers, M samples/s",
        value: hasAgent ? show(spread(throughAgent)) : "not installed"
      },
      { side: "ratio of the collector to straight", value: show(spread(ratios)) },
      { side: "times the reference server", value: show(spread(collected.map((value) => value / 0.5))) },
      { side: "collector's CPU ms per batch", value: show(spread(cpu)) },
      { side: "collector's resident MB at the end", value: Math.round(residentMax) }
    ]
  }
}

/** Samples that came to the database by remote write, as vmagent sends them. */
const remoteWritten = async ({ url }: Database): Promise<number> => {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  return Number(/^vm_rows_inserted_total\{type="promremotewrite"\} (\d+)/m.exec(metrics)?.[1] ?? 0)
}

/** vmagent on a free port in front of `database`, for the duration of `body`. */
const withAgent = async (database: Database, body: (port: number) => Promise<void>) => {
  const directory = mkdtempSync(join(tmpdir(), "telemetry-bench-"))
  const port = await freePort()
  const flags = [`-httpListenAddr=127.0.0.1:${port}`, `-remoteWrite.tmpDataPath=${directory}`]
  const child = spawn("vmagent", [...flags, `-remoteWrite.url=${database.url}/api/v1/write`], { stdio: "ignore" })
  const isUp = () =>
    fetch(`http://127.0.0.1:${port}/health`).then(
      ({ ok }) => ok,
      () => false
    )
  while (!(await isUp())) await setTimeout(50)
  await body(port)
  child.kill("SIGTERM")
  await once(child, "exit")
  rmSync(directory, { recursive: true })
}

const withDatabase = (body: (database: Database) => Promise<void>): Promise<void> =>
  runningDatabase().pipe(
    Effect.flatMap((database) => Effect.promise(() => body(database))),
    Effect.scoped,
    Effect.runPromise
  )
