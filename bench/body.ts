/** What does it cost to read a body through our HTTP server, against a bare node:http server? */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { Agent, request } from "node:http"
import { type Result, show, spread, standardBatch } from "./support.js"

const connections = 8
const requestsPerRound = 400
/** Until the code is compiled: Effect's run loop takes longer to get there than a bare server. */
const warmup = 6
const rounds = 15

interface Running {
  readonly child: ChildProcess
  readonly port: number
  readonly agent: Agent
}

const start = async (kind: string): Promise<Running> => {
  const child = fork(new URL("./bodyServer.js", import.meta.url), [kind], {
    stdio: ["ignore", "ignore", "ignore", "ipc"]
  })
  const [{ port }] = await once(child, "message")
  return { child, port, agent: new Agent({ keepAlive: true, maxSockets: connections }) }
}

const cpuMs = async ({ child }: Running): Promise<number> => {
  child.send("cpu")
  const [{ cpu }] = await once(child, "message")
  return (cpu.user + cpu.system) / 1000
}

const post = ({ port, agent }: Running, body: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    const headers = {
      authorization: "Bearer benchmark-token-0123",
      "content-type": "application/json",
      "content-length": body.length
    }
    const sent = request({ port, agent, method: "POST", path: "/api/v1/submit", headers }, (response) => {
      response.resume()
      response.on("end", () => (response.statusCode === 200 ? resolve() : reject(new Error(`${response.statusCode}`))))
    })
    sent.on("error", reject)
    sent.end(body)
  })

/** CPU milliseconds of the server per request: independent of the client beside it on the same cores. */
const round = async (server: Running, body: Buffer): Promise<number> => {
  const before = await cpuMs(server)
  let left = requestsPerRound
  const client = async () => {
    while (left-- > 0) await post(server, body)
  }
  await Promise.all(Array.from({ length: connections }, client))
  return ((await cpuMs(server)) - before) / requestsPerRound
}

export const run = async (): Promise<Result> => {
  const body = standardBatch()
  const servers = { bare: await start("bare"), silent: await start("silent"), logging: await start("logging") }
  const cpu = { bare: [] as Array<number>, silent: [] as Array<number>, logging: [] as Array<number> }
  for (let i = 0; i < warmup + rounds; i++) {
    for (const kind of ["bare", "silent", "logging"] as const) {
      const ms = await round(servers[kind], body)
      if (i >= warmup) cpu[kind].push(ms)
    }
  }
  for (const { child, agent } of Object.values(servers)) {
    agent.destroy()
    child.kill("SIGKILL")
  }
  const row = (name: string, kind: keyof typeof cpu) => ({
    server: name,
    "body kB": Math.round(body.length / 1000),
    "CPU ms per request": show(spread(cpu[kind])),
    ratio: show(spread(cpu[kind].map((ms, i) => ms / cpu.bare[i]!)))
  })
  return {
    question: "Reading the body of a standard batch over HTTP, against bare node:http",
    target: "ratio ≤ 1.5",
    rows: [
      row("node:http, no routes, no log", "bare"),
      row("ours: routes, token, limits", "silent"),
      row("ours, and a line of access log", "logging")
    ]
  }
}
