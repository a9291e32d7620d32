/**
 * Settings of the trace export, by the names, defaults and forms of the OpenTelemetry specification:
 * https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and
 * https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
import { Config, Duration } from "effect"
import { atLeastOne, mappedSetting, secret, setting } from "./Setting.js"

/** `key=value,key2=value2`, values percent-encoded; undefined for anything else. */
export const keyValues = (list: string): Readonly<Record<string, string>> | undefined => {
  const pairs: Array<readonly [string, string]> = []
  for (const pair of list.split(",").filter((pair) => pair.trim() !== "")) {
    const [, key, value] = /^\s*([^=\s]+)\s*=(.*)$/s.exec(pair) ?? []
    if (key === undefined || value === undefined) return undefined
    try {
      pairs.push([key, decodeURIComponent(value.trim())])
    } catch {
      return undefined
    }
  }
  return Object.fromEntries(pairs)
}

const keyValueList = (name: string) =>
  Config.string(name).pipe(
    Config.validate({
      message: "must be like deployment.environment.name=home,host.name=collector-1",
      validation: (list) => keyValues(list) !== undefined
    })
  )

const httpUrl = (name: string) =>
  Config.string(name).pipe(
    Config.validate({
      message: "must be an http or https URL like http://127.0.0.1:4318",
      validation: (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
    })
  )

/** Holds the key of whoever receives the traces. */
export const tracingHeaders = "OTEL_EXPORTER_OTLP_HEADERS"

/** A function, because settings are described in the order in which they are declared. */
export const declareTracing = () => {
  const tracing = Config.all({
    endpoint: setting(
      "OTEL_EXPORTER_OTLP_ENDPOINT",
      httpUrl,
      "",
      "Where traces are sent by OTLP over HTTP, /v1/traces is appended; none are made when empty"
    ),
    tracesEndpoint: setting(
      "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
      httpUrl,
      "",
      "The same as a whole URL, to which nothing is appended"
    ),
    protocol: setting(
      "OTEL_EXPORTER_OTLP_PROTOCOL",
      Config.literal("http/protobuf", "http/json"),
      "http/protobuf",
      "http/protobuf or http/json"
    ),
    timeout: mappedSetting(
      "OTEL_EXPORTER_OTLP_TIMEOUT",
      atLeastOne,
      10_000,
      "Milliseconds for one export of traces",
      Duration.millis
    ),
    serviceName: setting(
      "OTEL_SERVICE_NAME",
      Config.string,
      "",
      "Name under which traces are found; heatpump-telemetry when empty"
    ),
    resourceAttributes: mappedSetting(
      "OTEL_RESOURCE_ATTRIBUTES",
      keyValueList,
      "",
      "What else traces say of this server: key=value,key=value",
      (list) => keyValues(list) ?? {}
    ),
    exporter: setting(
      "OTEL_TRACES_EXPORTER",
      Config.literal("otlp", "none"),
      "otlp",
      "otlp, or none to send no traces in spite of an endpoint"
    ),
    isDisabled: setting("OTEL_SDK_DISABLED", Config.boolean, false, "true does the same")
  })
  secret(tracingHeaders, "Headers sent with traces, keys above all: key=value,key=value")
  return tracing
}
