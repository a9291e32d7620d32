/** How long does it take from VictoriaMetrics to model.pkl, with how much memory, and which step takes it? */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { scoredSensors } from "../src/training/FeatureNames.js"
import { dayMs, type SimulatedHome, simulateHome } from "../test/support/fleet.js"
import { exportLines } from "../test/support/fleetOutput.js"
import { SeededRandom } from "../test/support/random.js"
import { type Database, runningDatabase } from "../test/support/victoriaMetrics.js"
import type { Result } from "./support.js"

const homes = 20
const days = 30
const sensors = 60
const mainFile = fileURLToPath(new URL("../programs/main.js", import.meta.url))

/** Walks at random in the place of sensors that the simulation does not have. */
const padded = (home: SimulatedHome, seed: number): SimulatedHome => {
  const random = new SeededRandom(seed)
  const columns = new Map(home.columns)
  for (const name of scoredSensors) {
    if (columns.size >= sensors) break
    if (columns.has(name)) continue
    const values = new Float64Array(home.timestampsMs.length)
    let value = 20
    for (let i = 0; i < values.length; i++) {
      value += 0.1 * random.normal()
      values[i] = Math.round(value * 10) / 10
    }
    columns.set(name, values)
  }
  return { ...home, columns }
}

const load = async (database: Database): Promise<number> => {
  const startMs = Math.floor(Date.now() / dayMs) * dayMs - (days + 1) * dayMs
  let samples = 0
  for (let home = 0; home < homes; home++) {
    const simulated = padded(simulateHome({ seed: 1, home, startMs, days }), home)
    samples += simulated.columns.size * simulated.timestampsMs.length
    const body = exportLines(simulated, { model: "AERO_SLM" }).join("\n")
    const response = await fetch(`${database.url}/api/v1/import`, { method: "POST", body })
    if (!response.ok) throw new Error(`import failed: ${await response.text()}`)
  }
  await database.flush()
  return samples
}

interface Step {
  readonly name: string
  readonly seconds: number
}

/** The program as people run it. Its progress tells when each step begins. */
const train = async (url: string, output: string) => {
  const startedMs = performance.now()
  const child = spawn(process.execPath, [mainFile, "train", "--model", "AERO_SLM", "--output", output, "--json"], {
    env: { PATH: process.env.PATH ?? "", VM_EXPORT_URL: url },
    stdio: ["ignore", "ignore", "pipe"]
  })
  const steps: Array<Step> = []
  let stepMs = startedMs
  let step = "start and load"
  const begin = (next: string) => {
    const nowMs = performance.now()
    steps.push({ name: step, seconds: (nowMs - stepMs) / 1000 })
    stepMs = nowMs
    step = next
  }
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    for (const line of text.split("\n")) {
      if (line.startsWith("deriving")) begin("features (danfo)")
      if (line.startsWith("fitting")) begin("fit")
      if (line.startsWith("judging")) begin("judge")
    }
  })
  let peakMb = 0
  const watch = setInterval(() => {
    try {
      const [, kb] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8")) ?? []
      peakMb = Math.max(peakMb, Number(kb ?? 0) / 1024)
    } catch {
      // It has ended.
    }
  }, 50)
  const [code] = await once(child, "exit")
  clearInterval(watch)
  begin("")
  if (code !== 0) throw new Error(`train ended with ${code}`)
  return { steps, peakMb, seconds: (performance.now() - startedMs) / 1000 }
}

export const run = (): Promise<Result> =>
  Effect.gen(function* () {
    const database = yield* runningDatabase()
    const directory = mkdtempSync(join(tmpdir(), "telemetry-bench-"))
    const samples = yield* Effect.promise(() => load(database))
    const { peakMb, seconds, steps } = yield* Effect.promise(() => train(database.url, join(directory, "model.pkl")))
    rmSync(directory, { recursive: true })
    const share = (name: string) => {
      const own = steps.filter((step) => step.name === name).reduce((sum, step) => sum + step.seconds, 0)
      return { step: name, seconds: own.toFixed(1), share: `${((100 * own) / seconds).toFixed(0)} %`, "peak MB": "" }
    }
    const result: Result = {
      question: `${homes} installations × ${days} days × 1 min × ${sensors} sensors (${(samples / 1e6).toFixed(0)} M samples): from VictoriaMetrics to model.pkl`,
      target: "under 180 s and 1,000 MB on 2 cores",
      rows: [
        share("start and load"),
        share("features (danfo)"),
        share("fit"),
        share("judge"),
        { step: "all, written", seconds: seconds.toFixed(1), share: "100 %", "peak MB": peakMb.toFixed(0) }
      ]
    }
    return result
  }).pipe(Effect.scoped, Effect.runPromise)
