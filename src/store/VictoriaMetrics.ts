/**
 * The HTTP side of VictoriaMetrics: writes, queries, exports and deletions, each with a bound on its time and an error
 * that says whose fault it was.
 *
 * No answer's body gets into an error: VictoriaMetrics quotes the line that it refuses, and with it what was submitted.
 */
import { HttpClient, type HttpClientError, HttpClientRequest, type HttpClientResponse } from "@effect/platform"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Undici from "@effect/platform-node/Undici"
import { Clock, Context, type Duration, Effect, Layer, Option, Redacted, Schema, Stream } from "effect"
import { DatabaseUnavailable, retryAfterSeconds, verdictOf, WriteRefused } from "./DatabaseAnswer.js"
import { type DatabaseProcess, databaseFacts, processOf } from "./DatabaseFlags.js"
import type { VictoriaMetricsUrls } from "./VictoriaMetricsUrls.js"

/** What tells whether a database may have lost what it had accepted: it keeps the last seconds in memory. */
export interface Instance {
  /** Undefined where the URL does not lead to its own metrics. */
  readonly process: DatabaseProcess | undefined
  /** Whether it removes samples that were sent twice; undefined when it does not say. */
  readonly removesDuplicates: boolean | undefined
}

/** One sample of an instant query. */
interface QueriedSample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const LabelSet = Schema.Record({ key: Schema.String, value: Schema.String })
const InstantVector = Schema.parseJson(
  Schema.Struct({
    data: Schema.Struct({
      result: Schema.Array(
        Schema.Struct({ metric: LabelSet, value: Schema.Tuple(Schema.Number, Schema.NumberFromString) })
      )
    })
  })
)

const LabelValues = Schema.parseJson(Schema.Struct({ data: Schema.Array(Schema.String) }))
const SeriesList = Schema.parseJson(Schema.Struct({ data: Schema.Array(LabelSet) }))

/** One line of an export: samples of one series. A series may take several lines. */
export const ExportedSeries = Schema.Struct({
  metric: LabelSet,
  values: Schema.Array(Schema.NullOr(Schema.Number)),
  timestamps: Schema.Array(Schema.Number)
})
export type ExportedSeries = typeof ExportedSeries.Type
const decodeSeries = Schema.decodeUnknown(Schema.parseJson(ExportedSeries))

/** A code like ECONNREFUSED says enough, and never holds an address. */
const transportReason = (error: HttpClientError.HttpClientError): string => {
  const { cause } = error
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "no HTTP"
  return `the connection failed (${code})`
}

interface VictoriaMetricsOptions {
  readonly urls: VictoriaMetricsUrls
  /** A bearer token, or `user:password`; wins over what the URLs hold. */
  readonly bearerToken: Option.Option<Redacted.Redacted>
  readonly basicCredentials: Option.Option<Redacted.Redacted>
  /** For one write. */
  readonly writeTimeout: Duration.Duration
  readonly connections: number
}

/** For one query, or for one piece of an export to arrive. */
const queryTimeout = "5 seconds"
const exportTimeout = "60 seconds"

export const authorize = (
  options: Pick<VictoriaMetricsOptions, "urls" | "bearerToken" | "basicCredentials">
): ((request: HttpClientRequest.HttpClientRequest) => HttpClientRequest.HttpClientRequest) => {
  const basic = Option.orElse(options.basicCredentials, () => Option.fromNullable(options.urls.credentials))
  if (Option.isSome(options.bearerToken)) return HttpClientRequest.bearerToken(options.bearerToken.value)
  if (Option.isNone(basic)) return (request) => request
  const encoded = Buffer.from(Redacted.value(basic.value)).toString("base64")
  return HttpClientRequest.setHeader("authorization", `Basic ${encoded}`)
}

const make = Effect.fn("VictoriaMetrics.make")(function* (options: VictoriaMetricsOptions) {
  const { urls } = options
  const client = (yield* HttpClient.HttpClient).pipe(
    HttpClient.mapRequest(authorize(options)),
    HttpClient.withTracerDisabledWhen(() => true)
  )

  const unavailable = (operation: string) => (error: HttpClientError.HttpClientError) =>
    new DatabaseUnavailable({ operation, reason: transportReason(error) })
  const late = (operation: string) => () => new DatabaseUnavailable({ operation, reason: "no answer in time" })
  const answered = Effect.fnUntraced(function* (operation: string, response: HttpClientResponse.HttpClientResponse) {
    const nowMs = yield* Clock.currentTimeMillis
    return new DatabaseUnavailable({
      operation,
      reason: `it answered with status ${response.status}`,
      retryAfterSeconds: retryAfterSeconds(response.headers["retry-after"], nowMs)
    })
  })

  /** A whole answer and its text; one that is cut off is none. */
  const ask = (operation: string, request: HttpClientRequest.HttpClientRequest, timeout: Duration.DurationInput) =>
    client.execute(request).pipe(
      Effect.flatMap((response) => Effect.map(response.text, (text) => ({ response, text }))),
      Effect.mapError(unavailable(operation)),
      Effect.timeoutFail({ duration: timeout, onTimeout: late(operation) })
    )
  const askOk = (operation: string, request: HttpClientRequest.HttpClientRequest) =>
    Effect.flatMap(ask(operation, request, queryTimeout), ({ response, text }) =>
      verdictOf(response.status) === "accepted"
        ? Effect.succeed(text)
        : Effect.flatMap(answered(operation, response), Effect.fail)
    )

  const writeOperation = "take a write"
  const write = Effect.fn("VictoriaMetrics.write")(function* (gzippedLines: Uint8Array) {
    const request = HttpClientRequest.post(urls.write, { headers: { "content-encoding": "gzip" } }).pipe(
      HttpClientRequest.bodyUint8Array(gzippedLines, "text/plain")
    )
    const { response } = yield* ask(writeOperation, request, options.writeTimeout)
    switch (verdictOf(response.status)) {
      case "accepted":
        return
      case "refused":
        return yield* new WriteRefused({ status: response.status })
      case "unavailable":
        return yield* yield* answered(writeOperation, response)
    }
  })

  const query = Effect.fn("VictoriaMetrics.query")(function* (expression: string, atMs: number) {
    const operation = "answer a query"
    const request = HttpClientRequest.get(urls.query).pipe(
      // Without nocache, VictoriaMetrics hides the last 30 seconds.
      HttpClientRequest.setUrlParams({ query: expression, time: String(atMs / 1000), nocache: "1" })
    )
    const text = yield* askOk(operation, request)
    const { data } = yield* Schema.decodeUnknown(InstantVector)(text).pipe(
      Effect.mapError(() => new DatabaseUnavailable({ operation, reason: "its answer is not an instant vector" }))
    )
    return data.result.map(({ metric, value }): QueriedSample => ({ labels: metric, value: value[1] }))
  })

  /**
   * Samples from `fromMs` to before `untilMs` as the database sends them: a line of JSON per series, or several of at
   * most `maxSamplesPerLine`. Each ends in a line feed; bytes without one at the end have been cut off.
   */
  const exportBytes = (selector: string, fromMs: number, untilMs: number, maxSamplesPerLine?: number) => {
    const operation = "export"
    const request = HttpClientRequest.get(urls.export).pipe(
      HttpClientRequest.setUrlParams({
        "match[]": selector,
        start: String(fromMs / 1000),
        end: String((untilMs - 1) / 1000),
        ...(maxSamplesPerLine === undefined ? {} : { max_rows_per_line: String(maxSamplesPerLine) })
      })
    )
    return client.execute(request).pipe(
      Effect.mapError(unavailable(operation)),
      Effect.timeoutFail({ duration: exportTimeout, onTimeout: late(operation) }),
      Effect.flatMap((response) =>
        verdictOf(response.status) === "accepted"
          ? Effect.succeed(Stream.mapError(response.stream, unavailable(operation)))
          : Effect.flatMap(answered(operation, response), Effect.fail)
      ),
      Stream.unwrap,
      Stream.timeoutFail(late(operation), exportTimeout)
    )
  }

  /** The same, series by series. */
  const exportSeries = (selector: string, fromMs: number, untilMs: number) =>
    exportBytes(selector, fromMs, untilMs).pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.filter((line) => line !== ""),
      Stream.mapEffect((line) =>
        Effect.mapError(
          decodeSeries(line),
          () => new DatabaseUnavailable({ operation: "export", reason: "a line of its answer is not JSON" })
        )
      )
    )

  /** Deletes whole series. What was written in the last second may escape it: flush first. */
  const deleteSeries = (selector: string) =>
    askOk(
      "delete series",
      HttpClientRequest.post(urls.deleteSeries).pipe(HttpClientRequest.setUrlParams({ "match[]": selector }))
    )

  /** The labels of the series with samples since `fromMs`, at most `limit`. Looks at the index only. */
  const series = Effect.fn("VictoriaMetrics.series")(function* (selector: string, fromMs: number, limit?: number) {
    const operation = "list series"
    const request = HttpClientRequest.get(urls.series).pipe(
      HttpClientRequest.setUrlParams({
        "match[]": selector,
        // A start of 0 counts as none, which means today.
        start: String(Math.max(1, fromMs / 1000)),
        ...(limit === undefined ? {} : { limit: String(limit) })
      })
    )
    const { data } = yield* Schema.decodeUnknown(SeriesList)(yield* askOk(operation, request)).pipe(
      Effect.mapError(() => new DatabaseUnavailable({ operation, reason: "its answer is not a list of series" }))
    )
    return data
  })

  const hasSeries = (selector: string) => Effect.map(series(selector, 0, 1), ({ length }) => length > 0)

  /** The ids of all installations that have a series. */
  const installations = Effect.gen(function* () {
    const operation = "list installations"
    // Without a start, the last minutes are meant, and with one of 0 today.
    const request = HttpClientRequest.get(urls.installations).pipe(HttpClientRequest.setUrlParams({ start: "1" }))
    const { data } = yield* Schema.decodeUnknown(LabelValues)(yield* askOk(operation, request)).pipe(
      Effect.mapError(() => new DatabaseUnavailable({ operation, reason: "its answer is not a list of values" }))
    )
    return data
  })

  // Without its type, the union of both would depend on the order in which the compiler meets them.
  const flush: Effect.Effect<void, DatabaseUnavailable> =
    urls.flush === undefined ? Effect.void : Effect.asVoid(askOk("flush", HttpClientRequest.get(urls.flush)))

  const instance = Effect.gen(function* () {
    const { response, text } = yield* ask("show its metrics", HttpClientRequest.get(urls.metrics), queryTimeout)
    const instance: Instance = {
      process: response.status === 200 ? processOf(text) : undefined,
      removesDuplicates: databaseFacts(text).removesDuplicates
    }
    return instance
  })

  return {
    write,
    query,
    export: exportSeries,
    exportBytes,
    deleteSeries,
    series,
    hasSeries,
    installations,
    flush,
    instance
  }
})

export class VictoriaMetrics extends Context.Tag("telemetry/store/VictoriaMetrics")<
  VictoriaMetrics,
  Effect.Effect.Success<ReturnType<typeof make>>
>() {
  static readonly layer = (options: VictoriaMetricsOptions) =>
    Layer.effect(this, make(options)).pipe(
      Layer.provide(NodeHttpClient.layerUndiciWithoutDispatcher),
      Layer.provide(
        Layer.scoped(
          NodeHttpClient.Dispatcher,
          Effect.acquireRelease(
            Effect.sync(() => new Undici.Agent({ connections: options.connections })),
            (agent) => Effect.promise(() => agent.destroy())
          )
        )
      )
    )
}
