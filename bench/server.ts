/** The built program and a client, for benchmarks of whole processes. */
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { type Agent, request } from "node:http"
import { Schema } from "effect"
import { type JournalStatus, Status } from "../src/http/Api.js"

export const token = "benchmark-token-0123"

/** The built program on a free port. */
export const startServer = async (environment: Readonly<Record<string, string>>) => {
  const main = new URL("../programs/main.js", import.meta.url).pathname
  const child = spawn(process.execPath, [main, "serve"], {
    env: { ...process.env, AUTH_TOKEN: token, PORT: "0", ...environment },
    stdio: ["ignore", "ignore", "pipe"]
  })
  let log = ""
  const port = await new Promise<number>((resolve, reject) => {
    // Read to the end: a full pipe would hold the program up.
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      const address = /Listening on http:\/\/[^:]+:(\d+)/.exec((log + text).slice(-10_000))
      log = text
      if (address !== null) resolve(Number(address[1]))
    })
    child.once("exit", () => reject(new Error(`the server did not start: ${log}`)))
  })
  return { child, port }
}

export const residentMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1000

/** User and system time of a process in seconds; proc(5), fields 14 and 15 in ticks of 10 ms. */
export const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Sends one request; rejects unless the answer's status says that it was taken. */
export const send = (
  port: number,
  agent: Agent,
  path: string,
  body: Buffer,
  headers: Readonly<Record<string, string>> = {}
): Promise<void> =>
  new Promise((resolve, reject) => {
    const all = { "content-length": String(body.length), ...headers }
    const sent = request({ host: "127.0.0.1", port, agent, method: "POST", path, headers: all }, (response) => {
      const { statusCode = 0 } = response
      response.resume()
      response.on("end", () => (statusCode < 300 ? resolve() : reject(new Error(`${path} answered ${statusCode}`))))
    })
    sent.on("error", reject)
    sent.end(body)
  })

export const submitTo = (port: number, agent: Agent, body: Buffer): Promise<void> =>
  send(port, agent, "/api/v1/submit", body, {
    authorization: `Bearer ${token}`,
    "content-type": "application/json"
  })

/** What the server says of its journal. */
export const journalOf = async (port: number): Promise<JournalStatus> => {
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/status`, {
    headers: { authorization: `Bearer ${token}` }
  })
  const { journal } = Schema.decodeUnknownSync(Status)(await response.json())
  if (journal === null) throw new Error("there is no journal in front of this store")
  return journal
}
