import { connect } from "node:net"
import { Effect } from "effect"
import { testToken } from "./testServer.js"

/** What a server answered, as it was on the wire. */
export interface Answer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** A connection that shows what fetch hides: when an answer comes, how, and whether the connection then ends. */
export interface Wire {
  readonly send: (data: string | Buffer) => void
  /** Our side is done: what follows is nothing. */
  readonly end: () => void
  /** The next whole answer; undefined when the connection ends without one. */
  readonly answer: Effect.Effect<Answer | undefined>
  readonly closed: Effect.Effect<void>
  readonly isOpen: () => boolean
}

/** The chunks of a body as one, and what follows it; undefined while the last one is missing. */
const takeChunks = (received: Buffer): readonly [body: Buffer, rest: Buffer] | undefined => {
  const chunks: Array<Buffer> = []
  for (let at = 0; ; ) {
    const lineEnd = received.indexOf("\r\n", at)
    if (lineEnd < 0) return undefined
    const length = Number.parseInt(received.subarray(at, lineEnd).toString("latin1"), 16)
    const end = lineEnd + 2 + length
    if (received.length < end + 2) return undefined
    if (length === 0) return [Buffer.concat(chunks), received.subarray(end + 2)]
    chunks.push(received.subarray(lineEnd + 2, end))
    at = end + 2
  }
}

/** @param isOver nothing more will come: a body shorter than declared (HEAD) is whole */
const takeAnswer = (received: Buffer, isOver: boolean): readonly [Answer, rest: Buffer] | undefined => {
  const headEnd = received.indexOf("\r\n\r\n")
  if (headEnd < 0) return undefined
  const [statusLine = "", ...lines] = received.subarray(0, headEnd).toString("latin1").split("\r\n")
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    })
  )
  const status = Number(statusLine.split(" ")[1])
  const afterHead = received.subarray(headEnd + 4)
  if (status === 100) return takeAnswer(afterHead, isOver)
  const length = Number(headers.get("content-length") ?? 0)
  const taken = headers.has("transfer-encoding")
    ? takeChunks(afterHead)
    : afterHead.length < length && !isOver
      ? undefined
      : ([afterHead.subarray(0, length), afterHead.subarray(length)] as const)
  return taken === undefined ? undefined : [{ status, headers, body: taken[0].toString() }, taken[1]]
}

/** A raw connection for the life of the scope; with `allowHalfOpen` it stays open when the server ends its side. */
export const openWire = (
  port: number,
  options: { readonly localAddress?: string; readonly allowHalfOpen?: boolean } = {}
) =>
  Effect.acquireRelease(
    Effect.async<{ readonly wire: Wire; readonly close: Effect.Effect<void> }, Error>((resume) => {
      const socket = connect({ port, host: "127.0.0.1", ...options })
      let received: Buffer = Buffer.alloc(0)
      let isOpen = true
      const waiting = new Set<() => void>()
      const wake = () => {
        for (const check of waiting) check()
      }
      /** Resumes with the first defined result of `look`, which is tried whenever something happens. */
      const wait = <A>(look: () => { readonly result: A } | undefined) =>
        Effect.async<A>((done) => {
          const check = () => {
            const found = look()
            if (found === undefined) return
            waiting.delete(check)
            done(Effect.succeed(found.result))
          }
          waiting.add(check)
          check()
          return Effect.sync(() => waiting.delete(check))
        })
      socket.on("data", (chunk) => {
        received = Buffer.concat([received, chunk])
        wake()
      })
      socket.on("close", () => {
        isOpen = false
        wake()
      })
      socket.on("error", (error) => resume(Effect.fail(error)))
      socket.on("connect", () =>
        resume(
          Effect.succeed({
            wire: {
              send: (data) => socket.write(data),
              end: () => socket.end(),
              answer: wait(() => {
                const taken = takeAnswer(received, !isOpen)
                if (taken === undefined) return isOpen ? undefined : { result: undefined }
                received = taken[1]
                return { result: taken[0] }
              }),
              closed: wait(() => (isOpen ? undefined : { result: undefined })),
              isOpen: () => isOpen
            },
            close: Effect.sync(() => socket.destroy())
          })
        )
      )
    }),
    ({ close }) => close
  ).pipe(Effect.map(({ wire }) => wire))

/** A request's head, ready for its body; headers given as undefined are left out. */
export const head = (requestLine: string, headers: Readonly<Record<string, string | number | undefined>> = {}) =>
  [
    `${requestLine} HTTP/1.1`,
    ...Object.entries({ host: "telemetry.test", ...headers })
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name}: ${value}`),
    "\r\n"
  ].join("\r\n")

/** The head of a submission as loggers send it. */
export const submitHead = (headers: Readonly<Record<string, string | number | undefined>> = {}) =>
  head("POST /api/v1/submit", {
    authorization: `Bearer ${testToken}`,
    "content-type": "application/json",
    ...headers
  })
