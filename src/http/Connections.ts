/**
 * At most so many connections, and none of them for ever: when there are more, some give way.
 *
 * In this order: those that have waited longest for a request (silent, half a head, idle between two requests); those
 * whose body comes most slowly, or whose answer is not being read, if that is slow indeed; then also what has only just
 * begun to wait; at last the slowest of all requests. So connections that are held open cost nobody else anything: a
 * client that sends its request at once is not the one waiting longest, however many come and wait. nginx and lighttpd
 * do so with idle ones. Addresses are not told apart: behind a proxy or a container's network all have the same.
 * Whoever is to crowd out a home must have as many connections as there may be, and send on each of them faster than
 * the home does.
 *
 * Invariants: every open connection is in exactly one of `waiting` and `busy`, each in order of time. There may be more
 * than `max` for the moment in which a request that has come with its connection is read. Cost: two operations on a Map
 * for each request; a pass over all connections while there are too many, at most every 20 ms.
 */
import { readFileSync } from "node:fs"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { declaredLength } from "../pipeline/Body.js"
import { paceOf } from "../pipeline/Pace.js"

/** Why a connection was closed: it waited for a request, it was slow, or it was the one too many. */
export type GaveWay = "waiting" | "slow" | "refused"

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** On the monotonic clock. */
  readonly startMs: number
  readonly startBytes: number
}

/** Nobody is called slow before. */
const protectedMs = 1_000
const unreadAnswerMs = 10_000
/** Connections are accepted in bursts, before anything that came with them is read. */
const trimEveryMs = 20
/** So that of young requests the ones that stand still longest are the slowest. */
const headStartBytes = 16 * 1024

/** Below 1 is slow; what does not depend on the client is not. @param aheadBytes that it is thought to have sent */
const exchangePace = ({ request, response, startBytes, startMs }: Exchange, nowMs: number, aheadBytes: number) => {
  const tookMs = nowMs - startMs
  const receivedBytes = request.socket.bytesRead - startBytes + aheadBytes
  if (!request.complete) return paceOf(receivedBytes, declaredLength(request) ?? 0, tookMs)
  if (response.writableEnded && !response.writableFinished) return unreadAnswerMs / tookMs
  return Number.POSITIVE_INFINITY
}

/**
 * To be told of each connection and of each request.
 *
 * @param gaveWay called for each connection that is closed here
 */
export const makeConnections = (max: number, gaveWay: (why: GaveWay) => void) => {
  /** Since when, on the monotonic clock. */
  const waiting = new Map<Socket, number>()
  const busy = new Map<Socket, Exchange>()
  let isTrimming = false

  const waitingSince = (latestMs: number): ReadonlyArray<Socket> =>
    [...waiting].filter(([, sinceMs]) => sinceMs <= latestMs).map(([socket]) => socket)
  const slowestFirst = (nowMs: number, leastMs: number, below: number, aheadBytes: number): ReadonlyArray<Socket> =>
    [...busy]
      .filter(([, { startMs }]) => nowMs - startMs >= leastMs)
      .map(([socket, exchange]) => ({ socket, pace: exchangePace(exchange, nowMs, aheadBytes) }))
      .filter(({ pace }) => pace < below)
      .sort((a, b) => a.pace - b.pace)
      .map(({ socket }) => socket)

  const forget = (socket: Socket): void => {
    waiting.delete(socket)
    busy.delete(socket)
  }
  const excess = () => Math.max(0, waiting.size + busy.size - max)

  /** @param readMs whatever had come by then has been read */
  const trim = (readMs: number): void => {
    const nowMs = performance.now()
    const close = (sockets: ReadonlyArray<Socket>, why: GaveWay): void => {
      for (const socket of sockets.slice(0, excess())) {
        forget(socket)
        socket.destroy()
        gaveWay(why)
      }
    }
    close(waitingSince(nowMs - protectedMs), "waiting")
    if (excess() > 0) close(slowestFirst(nowMs, protectedMs, 1, 0), "slow")
    close(waitingSince(readMs), "waiting")
    if (waiting.size > 0) return
    if (excess() > 0) close(slowestFirst(nowMs, 0, Number.POSITIVE_INFINITY, headStartBytes), "refused")
    close([...busy.keys()].reverse(), "refused")
  }
  const trimSoon = (): void => {
    if (isTrimming || excess() === 0) return
    isTrimming = true
    setTimeout(() => {
      const readMs = performance.now()
      // Immediates run when sockets have been read.
      setImmediate(() => {
        trim(readMs)
        isTrimming = false
        trimSoon()
      })
    }, trimEveryMs)
  }

  const opened = (socket: Socket): void => {
    waiting.set(socket, performance.now())
    socket.once("close", () => forget(socket))
    trimSoon()
  }
  const requested = (request: IncomingMessage, response: ServerResponse): void => {
    const { socket } = request
    if (!waiting.delete(socket) && !busy.has(socket)) return
    busy.set(socket, { request, response, startMs: performance.now(), startBytes: socket.bytesRead })
    response.once("close", () => {
      // The next request may be here already.
      if (busy.get(socket)?.response !== response) return
      busy.delete(socket)
      waiting.set(socket, performance.now())
    })
  }
  /** Whether an answer has begun and not ended. */
  const isBeingAnswered = (socket: Socket): boolean => {
    const response = busy.get(socket)?.response
    if (response === undefined) return false
    return response.headersSent && !response.writableEnded
  }
  return { opened, requested, isBeingAnswered }
}

/** How many connections the system lets this process have; without `/proc`, as many as it likes. */
export const connectionsAllowed = (): number => {
  try {
    const files = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1]
    // The rest is for the store, the models, the database, and connections that come faster than others are closed.
    return files === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(Number(files) / 2))
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
