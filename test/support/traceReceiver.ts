/** Whoever takes traces by OTLP over HTTP, and what it was sent. */
import { once } from "node:events"
import { createServer, type IncomingHttpHeaders } from "node:http"
import { Effect } from "effect"

export interface Received {
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Answers with `status`; for the life of the scope. */
export const traceReceiver = (status: () => number) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const received: Array<Received> = []
      const server = createServer(async (request, response) => {
        const chunks: Array<Buffer> = []
        for await (const chunk of request) chunks.push(chunk)
        received.push({ url: request.url ?? "", headers: request.headers, body: Buffer.concat(chunks) })
        response.writeHead(status()).end()
      }).listen(0, "127.0.0.1")
      await once(server, "listening")
      const address = server.address()
      if (address === null || typeof address === "string") throw new Error("no port")
      return { received, server, url: `http://127.0.0.1:${address.port}` }
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )
