/**
 * Traces by OTLP over HTTP, off unless an endpoint is set.
 *
 * Invariants:
 * - What leaves the process is what `Span` and `exportedAttributes` below name, and nothing else: no address, token,
 *   query, body, installation id or error message, whatever a library or a later change of the code notes on a span.
 * - Nothing waits for the export: spans are dropped while their receiver is down, slow or full.
 * - A trace that somebody else has begun (`traceparent`) is not continued, because everybody may send that header.
 */
import { HttpClient, HttpClientError } from "@effect/platform"
import { ConfigProvider, Context, type Duration, Effect, Layer, Option, Redacted, Schema, Tracer } from "effect"
import { readSecret, SettingInvalid } from "../Secrets.js"
import * as Settings from "../Settings.js"
import { keyValues, tracingHeaders } from "../TracingSettings.js"

/** Whether spans leave the process; without that, none is made for requests. */
export class IsTracing extends Context.Reference<IsTracing>()("telemetry/observability/IsTracing", {
  defaultValue: () => false
}) {}

/** Names of https://opentelemetry.io/docs/specs/semconv/http/http-spans/, and the id that logs have too. */
export const spanAttributes = {
  method: "http.request.method",
  route: "http.route",
  status: "http.response.status_code",
  requestId: "telemetry.request.id"
} as const
const exportedAttributes = new Set<string>(Object.values(spanAttributes))

const Attribute = Schema.Struct({
  key: Schema.String,
  value: Schema.Struct({ stringValue: Schema.optional(Schema.String), intValue: Schema.optional(Schema.Number) })
})
const Event = Schema.Struct({ name: Schema.String, attributes: Schema.Array(Attribute) })
const Span = Schema.Struct({
  traceId: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optional(Schema.String),
  name: Schema.String,
  kind: Schema.Int,
  startTimeUnixNano: Schema.String,
  endTimeUnixNano: Schema.String,
  attributes: Schema.Array(Attribute),
  events: Schema.Array(Event),
  status: Schema.Struct({ code: Schema.Int })
})
const Traces = Schema.Struct({
  resourceSpans: Schema.Array(
    Schema.Struct({
      resource: Schema.Unknown,
      scopeSpans: Schema.Array(Schema.Struct({ scope: Schema.Unknown, spans: Schema.Array(Span) }))
    })
  )
})
const decodeTraces = Schema.decodeUnknownSync(Traces)

/** https://opentelemetry.io/docs/specs/otel/trace/api/#set-status */
const statusCode = { unset: 0, ok: 1, error: 2 } as const

/** The class of an error, which the library notes in an event together with its message. */
const errorType = ({ events }: typeof Span.Type): string | undefined =>
  events.flatMap(({ attributes }) => attributes).find(({ key }) => key === "exception.type")?.value.stringValue

/** `Span` has already left out all that it does not name. */
const exported = (span: typeof Span.Type) => {
  const attributes = span.attributes.filter(({ key }) => exportedAttributes.has(key))
  const answered = attributes.find(({ key }) => key === spanAttributes.status)?.value.intValue ?? 0
  const type = answered >= 500 ? String(answered) : errorType(span)
  const isFailed = answered >= 500 || span.status.code === statusCode.error
  return {
    ...span,
    attributes: type === undefined ? attributes : [...attributes, { key: "error.type", value: { stringValue: type } }],
    droppedAttributesCount: 0,
    events: [],
    droppedEventsCount: 0,
    links: [],
    droppedLinksCount: 0,
    status: { code: isFailed ? statusCode.error : statusCode.unset }
  }
}
const exportedTraces = (traces: unknown) => ({
  resourceSpans: decodeTraces(traces).resourceSpans.map(({ resource, scopeSpans }) => ({
    resource,
    scopeSpans: scopeSpans.map(({ scope, spans }) => ({ scope, spans: spans.map(exported) }))
  }))
})

const isOpen = (parent: Tracer.AnySpan): boolean => parent._tag === "Span" && parent.status._tag === "Started"

/** A loop lives on in the span of what started it, which has long ended: there a trace of its own begins. */
const withOwnTraces = (tracer: Tracer.Tracer): Tracer.Tracer =>
  Tracer.make({
    context: tracer.context,
    span: (name, parent, ...rest) => tracer.span(name, Option.filter(parent, isOpen), ...rest)
  })

const urlOf = ({ endpoint, tracesEndpoint }: { readonly endpoint: string; readonly tracesEndpoint: string }) =>
  tracesEndpoint || (endpoint === "" ? "" : `${endpoint.replace(/\/+$/, "")}/v1/traces`)

const readHeaders = Effect.gen(function* () {
  const secret = yield* readSecret(tracingHeaders)
  if (Option.isNone(secret)) return {}
  const { setting, value } = secret.value
  const headers = keyValues(Redacted.value(value))
  return headers ?? (yield* new SettingInvalid({ setting, reason: "must be like api-key=…,other=…" }))
})

/** A receiver that hangs must not collect spans here for ever; one that fails is complained about once. */
const exportClient = Effect.fnUntraced(function* (timeout: Duration.Duration) {
  const client = yield* HttpClient.HttpClient
  let isComplained = false
  const complain = (reason: string) =>
    Effect.suspend(() => {
      if (isComplained) return Effect.void
      isComplained = true
      return Effect.logWarning(`traces cannot be delivered (${reason}); they are dropped until they can`)
    })
  const recovered = Effect.suspend(() => {
    if (!isComplained) return Effect.void
    isComplained = false
    return Effect.logInfo("traces are delivered again")
  })
  return HttpClient.filterStatusOk(client).pipe(
    HttpClient.transform((answer, request) =>
      answer.pipe(
        Effect.timeoutFail({
          duration: timeout,
          onTimeout: () => new HttpClientError.RequestError({ request, reason: "Transport", description: "no answer" })
        }),
        Effect.tapError((error) =>
          complain(error._tag === "ResponseError" ? `status ${error.response.status}` : "no answer")
        ),
        Effect.zipLeft(recovered)
      )
    )
  )
})

const defaultServiceName = "heatpump-telemetry"

/** The tracer that the settings ask for; nothing is loaded, and nothing changes, when they ask for none. */
export const layerTracing = (serviceVersion: string) =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const settings = yield* Settings.tracing
      const url = urlOf(settings)
      if (url === "" || settings.isDisabled || settings.exporter === "none") return Layer.empty
      const headers = yield* readHeaders
      const client = yield* exportClient(settings.timeout)
      const [OtlpTracer, { OtlpSerialization, layerJson, layerProtobuf }] = yield* Effect.promise(() =>
        Promise.all([import("@effect/opentelemetry/OtlpTracer"), import("@effect/opentelemetry/OtlpSerialization")])
      )
      const serialization = Context.get(
        yield* Layer.build(settings.protocol === "http/json" ? layerJson : layerProtobuf),
        OtlpSerialization
      )
      const { "service.name": name, ...attributes } = settings.resourceAttributes
      const serviceName = settings.serviceName || name || defaultServiceName
      const tracer = yield* OtlpTracer.make({
        url,
        headers,
        resource: { serviceName, serviceVersion, attributes }
      }).pipe(
        Effect.provideService(HttpClient.HttpClient, client),
        Effect.provideService(OtlpSerialization, {
          ...serialization,
          traces: (traces) => serialization.traces(exportedTraces(traces))
        }),
        // It would read the attributes once more, undecoded.
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map()))
      )
      return Layer.merge(Layer.setTracer(withOwnTraces(tracer)), Layer.succeed(IsTracing, true))
    })
  )
