import type { InstallationId } from "./InstallationId.js"
import type { ModelName } from "./ModelName.js"

/** Of all lines; VictoriaMetrics names the series of a field `heatpump_metrics_<field>`. */
export const measurement = "heatpump_metrics"

/**
 * One source's share of one submission as line protocol, or a part of it: the unit that is stored, read back, drained and erased.
 * Lines end in `\n`, timestamps are milliseconds, and nothing in them needs escaping.
 */
export interface Block {
  readonly installationId: InstallationId
  readonly model: ModelName
  readonly version: string
  /** Absent in the flat shape. */
  readonly heatpumpId: string | undefined
  readonly firstTimestampMs: number
  readonly lastTimestampMs: number
  /** Lines. */
  readonly records: number
  readonly samples: number
  /** Of the uncompressed line protocol: what makes storing a block idempotent per installation. */
  readonly sha256: Buffer
  /** gzip: several members in a row are one valid gzip body, so blocks can be sent on without being opened. */
  readonly gzippedLines: Buffer
}
