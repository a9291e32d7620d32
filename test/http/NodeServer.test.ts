/** Connections that end otherwise than their clients' requests ask for, below everything that Effect knows of. */
import { once } from "node:events"
import type { IncomingMessage, ServerResponse } from "node:http"
import { connect } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { lingerUntilRead, makeNodeServer } from "../../src/http/NodeServer.js"

type Answering = (request: IncomingMessage, response: ServerResponse) => void

const serverOf = (answering: Answering) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = makeNodeServer({
        headersTimeout: Duration.seconds(10),
        requestTimeout: Duration.seconds(60),
        shutdownGrace: Duration.seconds(1),
        maxConnections: 8,
        gaveWay: () => {}
      })
      server.on("request", answering).listen(0, "127.0.0.1")
      await once(server, "listening")
      const address = server.address()
      return { server, port: typeof address === "object" && address !== null ? address.port : 0 }
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )

/** A client that never ends its side by itself. */
const clientOf = (port: number) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true })
      let text = ""
      socket.setEncoding("latin1").on("data", (chunk) => {
        text += chunk
      })
      socket.on("error", () => {})
      await once(socket, "connect")
      return { socket, text: () => text }
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

describe("a connection", () => {
  it.scopedLive("is closed after a refusal by us, also when its body had been read before the answer was out", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serverOf((request, response) => {
        lingerUntilRead(request)
        response.writeHead(413, { connection: "close", "content-length": 0 })
        request.resume().once("end", () => response.end())
      })
      const closed = once(server, "connection").then(([socket]) => once(socket, "close"))
      const { socket, text } = yield* clientOf(port)
      const answered = once(socket, "end")
      socket.write("POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody")
      yield* Effect.promise(() => Promise.all([closed, answered]))
      assert.match(text(), /^HTTP\/1\.1 413 /)
    })
  )

  it.scopedLive("gets no second answer into the middle of the first, whatever it sends meanwhile", () =>
    Effect.gen(function* () {
      const { port } = yield* serverOf((_, response) => {
        response.writeHead(200, { "content-length": 300 })
        response.write("first half,")
      })
      const { socket, text } = yield* clientOf(port)
      socket.write("GET / HTTP/1.1\r\n\r\n")
      yield* Effect.promise(() => once(socket, "data"))
      socket.write("\0 what is this\r\n\r\n")
      yield* Effect.promise(() => once(socket, "end"))
      assert.match(text(), /\r\n\r\nfirst half,$/)
    })
  )
})
