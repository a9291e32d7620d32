import { HttpApiBuilder, HttpApiSwagger, HttpMiddleware, HttpServer } from "@effect/platform"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import { Metrics, metricTable } from "../observability/Metrics.js"
import type { GaveWay } from "./Connections.js"
import { layerApi } from "./Handlers.js"
import { accessLog, layerEdge } from "./Middleware.js"
import { makeNodeServer, type NodeServerOptions } from "./NodeServer.js"

/** The API on whatever server it is given; needs the pipeline, the store and an `HttpServer`. */
export const layerHttp = HttpApiBuilder.serve(accessLog).pipe(
  HttpServer.withLogAddress,
  Layer.provide([HttpApiSwagger.layer(), HttpApiBuilder.middlewareOpenApi()]),
  Layer.provide(layerEdge),
  Layer.provide(layerApi),
  // Its spans would carry raw addresses; `accessLog` makes better ones.
  (layer) => HttpMiddleware.withTracerDisabledWhen(layer, () => true)
)

interface ListenOptions extends Omit<NodeServerOptions, "gaveWay"> {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
}

/** Listens for the life of the layer; fails with `ServeError` where it cannot. */
export const layerListener = (options: ListenOptions) =>
  Layer.unwrapEffect(
    Effect.map(Metrics, (metrics) => {
      const gaveWay = (reason: GaveWay) => metrics.add(metricTable.connectionsClosed, 1, { reason })
      return NodeHttpServer.layer(() => makeNodeServer({ ...options, gaveWay }), {
        host: options.host,
        port: options.port
      })
    })
  )
