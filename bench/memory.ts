/** Does the memory of the running program stay flat over 10,000 batches, and how fast does it store them? */
import { mkdtempSync, rmSync } from "node:fs"
import { Agent } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { cpuSeconds, residentMb, startServer, submitTo } from "./server.js"
import { type Result, standardBatch, standardRecords, standardSensors } from "./support.js"

const connections = 4
const batches = Number(process.env.BENCH_BATCHES ?? 10_000)
const marks = 10

export const run = async (): Promise<Result> => {
  const dataDir = mkdtempSync(join(tmpdir(), "telemetry-bench-"))
  const { child, port } = await startServer({ DATA_DIR: dataDir })
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const template = standardBatch()
  const idAt = template.indexOf("3f2b8c1e")

  const post = (i: number) => {
    const body = Buffer.from(template)
    body.write(i.toString(16).padStart(8, "0"), idAt)
    return submitTo(port, agent, body)
  }

  const rows: Array<Record<string, string | number>> = []
  const started = performance.now()
  const cpuStart = cpuSeconds(child.pid!)
  let next = 1
  for (let mark = 1; mark <= marks; mark++) {
    const until = Math.floor((batches * mark) / marks)
    const client = async () => {
      while (next <= until) await post(next++)
    }
    await Promise.all(Array.from({ length: connections }, client))
    const seconds = (performance.now() - started) / 1000
    rows.push({
      batches: until,
      "resident MB": Math.round(residentMb(child.pid!)),
      "batches/s": (until / seconds).toFixed(1),
      "M samples/s": ((until * standardRecords * standardSensors) / seconds / 1e6).toFixed(2),
      "CPU ms per batch": (((cpuSeconds(child.pid!) - cpuStart) * 1000) / until).toFixed(2)
    })
  }
  agent.destroy()
  child.kill("SIGTERM")
  await new Promise((resolve) => child.once("exit", resolve))
  rmSync(dataDir, { recursive: true })
  return {
    question: `Memory and throughput of the built program over ${batches} standard batches, each stored durably`,
    target: "memory flat; the reference server stores 16 to 18 batches/s at 48 ms CPU each",
    rows
  }
}
