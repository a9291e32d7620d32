/** Does the memory of the running program stay flat over 10,000 batches, and how fast does it store them? */
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { Agent, request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { type Result, standardBatch, standardRecords, standardSensors } from "./support.js"

const connections = 4
const token = "benchmark-token-0123"
const batches = Number(process.env.BENCH_BATCHES ?? 10_000)
const marks = 10

const start = async (dataDir: string) => {
  const main = new URL("../programs/main.js", import.meta.url).pathname
  const child = spawn(process.execPath, [main, "serve", "--port", "0", "--data-dir", dataDir], {
    env: { ...process.env, AUTH_TOKEN: token },
    stdio: ["ignore", "ignore", "pipe"]
  })
  for await (const line of createInterface({ input: child.stderr })) {
    const address = /Listening on http:\/\/[^:]+:(\d+)/.exec(line)
    if (address !== null) return { child, port: Number(address[1]) }
  }
  throw new Error("the server did not start")
}

const residentMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1000

/** User and system time of a process in seconds; proc(5), fields 14 and 15 in ticks of 10 ms. */
const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}

export const run = async (): Promise<Result> => {
  const dataDir = mkdtempSync(join(tmpdir(), "telemetry-bench-"))
  const { child, port } = await start(dataDir)
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const template = standardBatch()
  const idAt = template.indexOf("3f2b8c1e")

  const post = (i: number) =>
    new Promise<void>((resolve, reject) => {
      const body = Buffer.from(template)
      body.write(i.toString(16).padStart(8, "0"), idAt)
      const headers = {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        "content-length": body.length
      }
      const sent = request({ port, agent, method: "POST", path: "/api/v1/submit", headers }, (response) => {
        response.resume()
        response.on("end", () =>
          response.statusCode === 200 ? resolve() : reject(new Error(`${response.statusCode}`))
        )
      })
      sent.on("error", reject)
      sent.end(body)
    })

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
