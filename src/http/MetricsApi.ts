import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { problemWith } from "./Problem.js"

/** What Prometheus and VictoriaMetrics scrape. */
export class MetricsGroup extends HttpApiGroup.make("metrics", { topLevel: true }).add(
  HttpApiEndpoint.get("metrics", "/metrics")
    .addSuccess(
      Schema.String.pipe(HttpApiSchema.withEncoding({ kind: "Text", contentType: "text/plain; version=0.0.4" }))
    )
    .addError(problemWith(401, "No bearer token"))
    .addError(problemWith(403, "The token is not valid"))
    .annotate(OpenApi.Summary, "Metrics in Prometheus' text format")
    .annotate(
      OpenApi.Description,
      "Open to this machine itself; from elsewhere, or through a proxy, it needs the admin token."
    )
) {}
