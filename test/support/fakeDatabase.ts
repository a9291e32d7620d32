/** An endpoint that looks like VictoriaMetrics to a writer and answers as a test tells it to. */
import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { gunzipSync } from "node:zlib"
import { Effect } from "effect"

export interface Write {
  /** By the clock of the test. */
  readonly atMs: number
  readonly lines: ReadonlyArray<string>
  readonly authorization: string | undefined
}

/** Answers a write; what it returns counts as taken. */
export type Behaviour = (write: Write, response: ServerResponse, request: IncomingMessage) => boolean

export const accept: Behaviour = (_write, response) => {
  response.writeHead(204, { date: new Date().toUTCString() }).end()
  return true
}

export const refuse =
  (status: number, headers: Readonly<Record<string, string>> = {}): Behaviour =>
  (_write, response) => {
    response.writeHead(status, headers).end("cannot parse the line temp_secret=4711")
    return false
  }

export interface FakeDatabase {
  readonly url: string
  readonly attempts: Array<Write>
  /** Lines of accepted writes in their order. */
  readonly taken: Array<string>
  behave: Behaviour
  /** What answers questions for what it has taken; undefined: status 403. */
  shows: ((line: string) => boolean) | undefined
  /** The programs behind its address, which answer in turn. None: /metrics are those of a proxy. */
  processes: ReadonlyArray<FakeProcess>
}

/** A program that takes writes. */
interface FakeProcess {
  /** By the clock of the test. */
  readonly startedMs: number
  /** What it takes the time of its start for. */
  readonly startedAtSeconds: number
  readonly clusterErrors: number
}

const monthMs = 30 * 86_400_000

const metricsOf = (process: FakeProcess | undefined, nowMs: number): string =>
  process === undefined
    ? `vm_app_start_timestamp 1700000000\nvm_app_uptime_seconds ${nowMs}\n`
    : [
        `vm_app_start_timestamp ${process.startedAtSeconds}`,
        `vm_app_uptime_seconds ${Math.floor((nowMs - process.startedMs) / 1000)}`,
        'vm_rows_inserted_total{type="influx"} 7',
        `vm_rpc_connection_errors_total{name="vminsert", addr="vmstorage-1:8400"} ${process.clusterErrors}`,
        ""
      ].join("\n")

/** The activity among the lines as an export has it. */
const exported = (lines: ReadonlyArray<string>, query: URLSearchParams): string =>
  lines
    .flatMap((line) => {
      const [, id, timestamp] = /^heatpump_activity,installation_id=([^,]+),.* (\d+)$/.exec(line) ?? []
      const atMs = Number(timestamp)
      if (id === undefined || !query.get("match[]")?.includes(id)) return []
      if (atMs < Number(query.get("start")) * 1000 || atMs > Number(query.get("end")) * 1000) return []
      return `${JSON.stringify({ metric: { installation_id: id }, values: [1], timestamps: [atMs] })}\n`
    })
    .join("")

/** For the life of the scope. */
export const fakeDatabase = (nowMs: () => number) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const startedMs = nowMs() - monthMs
      let asked = 0
      const server = createServer(async (request, response) => {
        const chunks: Array<Buffer> = []
        for await (const chunk of request) chunks.push(chunk)
        if (request.url === "/metrics") {
          response.end(metricsOf(fake.processes[asked++ % fake.processes.length], nowMs()))
          return
        }
        const url = new URL(request.url ?? "/", "http://localhost")
        if (url.pathname === "/api/v1/export") {
          if (fake.shows === undefined) response.writeHead(403).end()
          else response.end(exported(fake.taken.filter(fake.shows), url.searchParams))
          return
        }
        if (request.method !== "POST" || !request.url?.startsWith("/write")) {
          response.writeHead(404).end()
          return
        }
        const text = gunzipSync(Buffer.concat(chunks)).toString("latin1")
        const write: Write = {
          atMs: nowMs(),
          lines: text.split("\n").filter((line) => line !== ""),
          authorization: request.headers.authorization
        }
        fake.attempts.push(write)
        if (fake.behave(write, response, request)) fake.taken.push(...write.lines)
      })
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const fake: FakeDatabase = {
        url: `http://127.0.0.1:${port}`,
        attempts: [],
        taken: [],
        behave: accept,
        shows: () => true,
        processes: [{ startedMs, startedAtSeconds: Math.floor(startedMs / 1000), clusterErrors: 0 }]
      }
      return { fake, server }
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  ).pipe(Effect.map(({ fake }) => fake))
