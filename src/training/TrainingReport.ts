/** What a training says of itself: to machines, to people, and to a pipeline's summary. */
import { createHash } from "node:crypto"
import { modes } from "../domain/Mode.js"
import { canonicalModel } from "../domain/ModelName.js"
import type { Trained, TrainOptions } from "./Trainer.js"

/** `model_metadata.json`: where a model comes from. */
export const metadataOf = (
  { byMode, features, sample }: Trained,
  options: TrainOptions & { readonly days: number | undefined },
  about: { readonly source: string; readonly version: string; readonly createdMs: number; readonly pickle: Uint8Array }
) => ({
  model: canonicalModel(options.model),
  created: new Date(about.createdMs).toISOString(),
  sha256: createHash("sha256").update(about.pickle).digest("hex"),
  data: {
    source: about.source,
    fingerprint: sample.fingerprint,
    first: new Date(sample.firstMs).toISOString(),
    last: new Date(sample.lastMs).toISOString(),
    installations: sample.installations.length,
    heat_pumps: sample.heatpumps.length,
    records: sample.recordsByMode.reduce((sum, n) => sum + n, 0)
  },
  modes: Object.fromEntries(
    modes.map((mode) => {
      const { records, rows, untrainedBecause } = byMode[mode]
      return [mode, { records, rows, trained: untrainedBecause === undefined, reason: untrainedBecause ?? null }]
    })
  ),
  features,
  sensors: Object.fromEntries(sample.coverage.map(({ coverage, sensor }) => [sensor, coverage])),
  time_zone: "UTC",
  options: {
    days: options.days ?? null,
    min_installations: options.minInstallations,
    min_points: options.minPoints,
    seed: options.seed
  },
  versions: { telemetry: about.version, river: "0.23.0" }
})

export type Metadata = ReturnType<typeof metadataOf>

const count = new Intl.NumberFormat("en")

export const summaryLines = (metadata: Metadata): ReadonlyArray<readonly [string, string]> => [
  ["Model", metadata.model],
  [
    "Data",
    `${count.format(metadata.data.records)} records of ${count.format(metadata.data.installations)} installations, ${metadata.data.first.slice(0, 10)} to ${metadata.data.last.slice(0, 10)}, from ${metadata.data.source}`
  ],
  ["Features", `${metadata.features.length}, of ${Object.keys(metadata.sensors).length} sensors`],
  ...Object.entries(metadata.modes).map(
    ([mode, { reason, records, rows }]) =>
      [
        `${mode[0]!.toUpperCase()}${mode.slice(1)}`,
        reason === null
          ? `trained on ${count.format(rows)} of ${count.format(records)} records`
          : `never alarms, too little data: ${reason}`
      ] as const
  )
]

/** For `$GITHUB_STEP_SUMMARY`. */
export const summaryMarkdown = (metadata: Metadata): string =>
  [
    `### Trained ${metadata.model}`,
    "",
    "| | |",
    "| --- | --- |",
    ...summaryLines(metadata).map(([name, text]) => `| ${name} | ${text} |`),
    `| Seed | ${metadata.options.seed} |`,
    `| SHA-256 | \`${metadata.sha256}\` |`,
    ""
  ].join("\n")
