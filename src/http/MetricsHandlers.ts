import { HttpApiBuilder, type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Context, Effect } from "effect"
import { Metrics } from "../observability/Metrics.js"
import { makeScrape, type ScrapeOptions } from "../observability/Scrape.js"
import { Auth } from "../pipeline/Auth.js"
import { Api } from "./Api.js"
import { Clients } from "./Clients.js"
import { answer } from "./Problems.js"

/** What the metrics say about the program they are of. */
export class Scraped extends Context.Tag("telemetry/http/Scraped")<Scraped, ScrapeOptions>() {}

const contentType = "text/plain; version=0.0.4; charset=utf-8"

export const MetricsHandlers = HttpApiBuilder.group(Api, "metrics", (handlers) =>
  Effect.gen(function* () {
    const auth = yield* Auth
    const clients = yield* Clients
    const metrics = yield* Metrics
    const scrape = yield* makeScrape(yield* Scraped)

    const show = Effect.fn("MetricsHandlers.show")(function* (request: HttpServerRequest.HttpServerRequest) {
      if (!clients.of(request).isLocal) yield* auth.admin(request.headers.authorization, false)
      return HttpServerResponse.text(yield* metrics.render(yield* scrape), { contentType })
    })
    return handlers.handleRaw("metrics", ({ request }) => Effect.catchAll(show(request), answer))
  })
)
