/** VictoriaMetrics itself, on loopback and with a directory of its own; asked without the product's client. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer as createHttpServer, request } from "node:http"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { victoriaMetricsBinary } from "./realParts.js"

export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
}

const isUp = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(`${url}/health`, { signal: AbortSignal.timeout(1_000) })).ok
  } catch {
    return false
  }
}

export class Database {
  readonly url: string
  readonly #directory: string
  readonly #port: number
  readonly #flags: ReadonlyArray<string>
  #child: ChildProcess | undefined

  constructor(port: number, directory: string, flags: ReadonlyArray<string>) {
    this.url = `http://127.0.0.1:${port}`
    this.#port = port
    this.#directory = directory
    this.#flags = flags
  }

  /** Resolves once it answers. */
  async start(): Promise<void> {
    const child = spawn(
      victoriaMetricsBinary ?? "victoria-metrics",
      [
        `-storageDataPath=${this.#directory}`,
        `-httpListenAddr=127.0.0.1:${this.#port}`,
        "-retentionPeriod=13",
        "-dedup.minScrapeInterval=1ms",
        "-search.latencyOffset=0s",
        "-memory.allowedBytes=256MB",
        ...this.#flags
      ],
      { stdio: ["ignore", "ignore", "pipe"] }
    )
    let log = ""
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      log = (log + text).slice(-2_000)
    })
    this.#child = child
    for (let attempt = 0; !(await isUp(this.url)); attempt++) {
      if (child.exitCode !== null || attempt > 300) throw new Error(`VictoriaMetrics does not start: ${log}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, "exit")
    child.kill("SIGCONT")
    child.kill(signal)
    await exited
  }

  /** SIGSTOP: it holds its connections and answers nothing. */
  pause(): void {
    this.#child?.kill("SIGSTOP")
  }

  resume(): void {
    this.#child?.kill("SIGCONT")
  }

  /** Makes what it has taken visible. */
  async flush(): Promise<void> {
    await (await fetch(`${this.url}/internal/force_flush`)).text()
  }

  /** Every sample of the series that `selector` matches. Throws when a series has two at one time. */
  async samples(selector: string): Promise<ReadonlyMap<string, number>> {
    await this.flush()
    const found = new Map<string, number>()
    const response = await fetch(
      `${this.url}/api/v1/export?reduce_mem_usage=0&start=0&end=${Math.ceil(Date.now() / 1000) + 200_000}&match[]=${encodeURIComponent(selector)}`
    )
    for (const line of (await response.text()).split("\n")) {
      if (line === "") continue
      const { metric, timestamps, values } = JSON.parse(line)
      const { __name__, ...labels } = metric
      timestamps.forEach((timestamp: number, i: number) => {
        const key = sampleKey(__name__, labels, timestamp)
        if (found.has(key)) throw new Error(`twice in the database: ${key}`)
        found.set(key, values[i])
      })
    }
    return found
  }
}

/** A sample's identity: series and time. */
export const sampleKey = (name: string, labels: Readonly<Record<string, string>>, timestampMs: number): string =>
  `${name}{${Object.entries(labels)
    .map(([label, value]) => `${label}=${value}`)
    .sort()
    .join()}} ${timestampMs}`

/** Not started yet; for the life of the scope. */
export const databaseOf = (flags: ReadonlyArray<string> = []) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const directory = mkdtempSync(join(tmpdir(), "telemetry-vm-"))
      return { directory, database: new Database(await freePort(), directory, flags) }
    }),
    ({ database, directory }) =>
      Effect.promise(async () => {
        await database.stop("SIGKILL")
        rmSync(directory, { recursive: true, force: true })
      })
  ).pipe(Effect.map(({ database }) => database))

/** Started, for the life of the scope. */
export const runningDatabase = (flags: ReadonlyArray<string> = []) =>
  Effect.tap(databaseOf(flags), (database) => Effect.promise(() => database.start()))

/** A proxy in front of a database that has metrics of its own, as vmauth does: its URL, for the life of the scope. */
export const proxyOf = (database: Database) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const proxy = createHttpServer((asked, response) => {
        if (asked.url === "/metrics") {
          response.end(
            'vm_app_version{version="", short_version=""} 1\nvm_app_start_timestamp 7\nvm_app_uptime_seconds 99\n'
          )
          return
        }
        const { headers, method } = asked
        const forwarded = request(`${database.url}${asked.url}`, { method, headers }, (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers)
          answer.on("error", () => response.destroy()).pipe(response)
        })
        forwarded.on("error", () => (response.headersSent ? response.destroy() : response.writeHead(502).end()))
        asked.pipe(forwarded)
      }).listen(0, "127.0.0.1")
      await once(proxy, "listening")
      return proxy
    }),
    (proxy) =>
      Effect.sync(() => {
        proxy.closeAllConnections()
        proxy.close()
      })
  ).pipe(
    Effect.map((proxy) => {
      const address = proxy.address()
      return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
    })
  )
