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
}

/** For the life of the scope. */
export const fakeDatabase = (nowMs: () => number) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const startedAtSeconds = Math.floor(Date.now() / 1000) - 3600
      const server = createServer(async (request, response) => {
        const chunks: Array<Buffer> = []
        for await (const chunk of request) chunks.push(chunk)
        if (request.url === "/metrics") {
          response.end(`vm_app_start_timestamp ${startedAtSeconds}\n`)
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
      const fake: FakeDatabase = { url: `http://127.0.0.1:${port}`, attempts: [], taken: [], behave: accept }
      return { fake, server }
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  ).pipe(Effect.map(({ fake }) => fake))
