/**
 * Lines of `/api/v1/export`: `{"metric":{"__name__":"…",…},"values":[…],"timestamps":[…]}`, NaN as null.
 * https://docs.victoriametrics.com/#how-to-export-data-in-json-line-format
 */
import { Either, Schema } from "effect"

const prefix = "heatpump_metrics_"
export const seriesName = (sensor: string) => `${prefix}${sensor}`

/** Whose samples a line holds. */
export interface SeriesOwner {
  readonly installationId: string
  readonly model: string
  readonly heatpumpId: string | undefined
  readonly sensor: string
}

const LabelSet = Schema.Record({ key: Schema.String, value: Schema.String })
export const decodeLabels = Schema.decodeUnknownEither(Schema.parseJson(LabelSet))
// Samples are looked at one by one by who uses them; a schema would cost ten times as much as parsing.
const Samples = Schema.declare((value: unknown): value is ReadonlyArray<unknown> => Array.isArray(value))
const Timestamps = Schema.declare(
  (value: unknown): value is ReadonlyArray<number> =>
    Array.isArray(value) && value.every((timestamp) => typeof timestamp === "number")
)
const Line = Schema.parseJson(Schema.Struct({ metric: LabelSet, values: Samples, timestamps: Timestamps }))
const decode = Schema.decodeUnknownEither(Line)

/** Undefined for series that are not of records: of no installation, or of another measurement. */
export const ownerOf = (labels: Readonly<Record<string, string>>): SeriesOwner | undefined => {
  const { __name__ = "", heatpump_id, installation_id, model = "" } = labels
  if (!__name__.startsWith(prefix) || installation_id === undefined) return undefined
  return { installationId: installation_id, model, heatpumpId: heatpump_id, sensor: __name__.slice(prefix.length) }
}

/** Undefined when the line is not an export's. */
export const readExportLine = (line: string) =>
  Either.match(decode(line), {
    onLeft: () => undefined,
    onRight: ({ metric, timestamps, values }) =>
      timestamps.length === values.length ? { owner: ownerOf(metric), timestamps, values } : undefined
  })
