/**
 * The `node:http` server below Effect's: the bounds on time and connections, and a stop that always ends.
 *
 * Stop: `close()` refuses new connections, requests in flight are finished, what still arrives on open connections is
 * answered 503 with `Retry-After`, idle connections are closed, and after the grace period whatever is left is cut.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { Duration } from "effect"
import { connectionsAllowed, type GaveWay, makeConnections } from "./Connections.js"

export interface NodeServerOptions {
  readonly headersTimeout: Duration.Duration
  /** For a whole request, headers and body. */
  readonly requestTimeout: Duration.Duration
  readonly shutdownGrace: Duration.Duration
  readonly maxConnections: number
  /** Called for each connection that is closed because there are too many. */
  readonly gaveWay: (why: GaveWay) => void
}

const answers: Readonly<Record<string, readonly [line: string, detail: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "The request took too long to arrive"],
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "The request headers are too large"]
}
const badRequest = ["400 Bad Request", "The request is not valid HTTP"] as const

/** Node answers these before any handler runs, and without a body. */
const answerClientError = (error: NodeJS.ErrnoException, socket: Socket): void => {
  const [line, detail] = answers[error.code ?? ""] ?? badRequest
  const body = JSON.stringify({ detail })
  socket.end(
    `HTTP/1.1 ${line}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy()
  )
}

const answerDraining = (response: ServerResponse): void => {
  const body = JSON.stringify({ detail: "The server is stopping, please retry" })
  response.writeHead(503, { "content-type": "application/json", "retry-after": "30", connection: "close" }).end(body)
}

/** Not listening yet; Effect gives it its request listener. */
export const makeNodeServer = (options: NodeServerOptions): Server => {
  const server = createServer({
    headersTimeout: Duration.toMillis(Duration.min(options.headersTimeout, options.requestTimeout)),
    requestTimeout: Duration.toMillis(options.requestTimeout),
    // Longer than proxies keep a connection idle (nginx 60 s, Traefik 90 s, Caddy 120 s), or a submission could meet our
    // closing it: proxies do not repeat a POST. When connections are short, idle ones give way first.
    keepAliveTimeout: 180_000,
    connectionsCheckingInterval: 1_000,
    maxHeaderSize: 16_384,
    // Node's own refusal has no body, and nothing here depends on the name by which we were called.
    requireHostHeader: false
  })
  const connections = makeConnections(Math.min(options.maxConnections, connectionsAllowed()), options.gaveWay)
  server.on("connection", connections.opened)
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    // What cannot be answered after the answer that is on its way must not become a part of it.
    if (error.code === "ECONNRESET" || !socket.writable || connections.isBeingAnswered(socket)) socket.destroy()
    else answerClientError(error, socket)
  })
  server.on("checkExpectation", (_request, response: ServerResponse) => {
    const body = JSON.stringify({ detail: "The header Expect is not understood" })
    response.writeHead(417, { "content-type": "application/json", "content-length": body.length, connection: "close" })
    response.end(body)
  })
  // Effect listens for upgrades, and then Node gives every request that offers one (`Upgrade: h2c`) away without its
  // body.
  server.on("newListener", (event, listener) => {
    if (event === "upgrade") queueMicrotask(() => server.off("upgrade", listener))
  })
  // Effect takes its own listener away before it closes the server; what arrives in between must not be left hanging.
  server.on("request", (request, response) => {
    connections.requested(request, response)
    if (server.listenerCount("request") === 1) answerDraining(response)
  })
  const close = server.close.bind(server)
  server.close = (done) => {
    const idle = setInterval(() => server.closeIdleConnections(), 50)
    const grace = setTimeout(() => server.closeAllConnections(), Duration.toMillis(options.shutdownGrace))
    return close((error) => {
      clearInterval(idle)
      clearTimeout(grace)
      done?.(error)
    })
  }
  return server
}

/** How much of a refused body is read and thrown away, and for how long, before its connection is cut. */
const lingerBytes = 64 * 1024 * 1024
const lingerMs = 2_000

/**
 * For an answer given before its request was read: without this the client is still writing when the connection closes,
 * gets a reset, and may never see the answer. Ends our side, discards what comes, then closes.
 */
export const lingerUntilRead = (request: IncomingMessage): void => {
  const socket = request.socket
  const startBytes = socket.bytesRead
  const watch = setInterval(() => {
    if (socket.bytesRead - startBytes > lingerBytes) socket.destroy()
  }, 50)
  const limit = setTimeout(() => socket.destroy(), lingerMs)
  const stop = () => {
    clearInterval(watch)
    clearTimeout(limit)
  }
  socket.once("close", stop)
  request.once("end", stop)
  // What Node calls once a response with `Connection: close` is out; its own version destroys the socket at once.
  const destroySoon = socket.destroySoon.bind(socket)
  socket.destroySoon = () => {
    if (request.readableEnded) return destroySoon()
    socket.end()
    request.resume()
    request.once("end", destroySoon)
  }
}
