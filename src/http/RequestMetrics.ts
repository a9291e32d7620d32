import type { Socket } from "node:net"
import type { HttpServerRequest } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { type MetricsService, metricTable } from "../observability/Metrics.js"

/** Of each connection, the bytes that have been counted: one connection carries several requests. */
const countedBytes = new WeakMap<Socket, number>()

/** What is to be called when a request has been answered. */
export const requestObserver = (metrics: MetricsService, request: HttpServerRequest.HttpServerRequest) => {
  const { socket } = NodeHttpServerRequest.toIncomingMessage(request)
  return (route: string, status: number, durationMs: number): void => {
    metrics.add(metricTable.bytesReceived, socket.bytesRead - (countedBytes.get(socket) ?? 0))
    countedBytes.set(socket, socket.bytesRead)
    metrics.observe(metricTable.requestDuration, durationMs / 1000, { route, status: String(status) })
  }
}
