/**
 * What a training, or the judgement of a champion, says of itself: to machines, to people, and to a pipeline's summary.
 */
import { createHash } from "node:crypto"
import { riverVersion } from "../artifact/riverVersion.js"
import { modes } from "../domain/Mode.js"
import { canonicalModel } from "../domain/ModelName.js"
import { heatpumpsText } from "./Evaluation.js"
import type { FleetOptions, FleetSample } from "./FleetSample.js"
import type { Judgement, TriedOn } from "./Judgement.js"
import type { Trained } from "./Trainer.js"

/** What was read. */
export const dataFacts = (sample: FleetSample, source: string) => ({
  source,
  fingerprint: sample.fingerprint,
  first: new Date(sample.firstMs).toISOString(),
  last: new Date(sample.lastMs).toISOString(),
  installations: sample.installations.length,
  heat_pumps: sample.heatpumps.length,
  records: sample.recordsByMode.reduce((sum, n) => sum + n, 0)
})
type DataFacts = ReturnType<typeof dataFacts>

/** `model_metadata.json`: where a model comes from. */
export const metadataOf = (
  { byMode, features, sample }: Trained,
  options: FleetOptions & { readonly days: number | undefined },
  about: { readonly source: string; readonly version: string; readonly createdMs: number; readonly pickle: Uint8Array }
) => ({
  model: canonicalModel(options.model),
  created: new Date(about.createdMs).toISOString(),
  sha256: createHash("sha256").update(about.pickle).digest("hex"),
  data: dataFacts(sample, about.source),
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
  versions: { telemetry: about.version, river: riverVersion }
})

type Metadata = ReturnType<typeof metadataOf>

/** A label and what is to be said under it. */
export type Line = readonly [label: string, text: string]

const count = new Intl.NumberFormat("en")

export const dataLines = (model: string, data: DataFacts): ReadonlyArray<Line> => [
  ["Model", model],
  [
    "Data",
    `${count.format(data.records)} records of ${count.format(data.installations)} installations, ${data.first.slice(0, 10)} to ${data.last.slice(0, 10)}, from ${data.source}`
  ]
]

export const trainingLines = (metadata: Metadata): ReadonlyArray<Line> => [
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

const triedOn: Readonly<Record<TriedOn, (heatpumps: string) => string>> = {
  "other homes": (heatpumps) => `${heatpumps} not fitted`,
  "later days": (heatpumps) => `the last 20 % of the time of ${heatpumps}, not fitted`,
  "each with a model of the others": (heatpumps) => `${heatpumps}, each with a model of the others`,
  "homes it may know": (heatpumps) => `${heatpumps} that it may have been fitted to`
}

export const judgementLines = (judgement: Judgement, failedCriteria: ReadonlyArray<string>): ReadonlyArray<Line> => {
  const [evaluation] = judgement.evaluations
  const { caught, falseAlarmsPerWeek } = evaluation!.overall
  const noticed = Number.isNaN(caught.share.value) ? "none" : `${(caught.share.value * 100).toFixed(0)} %`
  return [
    [
      "Judged",
      `${noticed} of ${caught.episodes} faults noticed, ${falseAlarmsPerWeek.value.toFixed(2)} false alarms per heat pump and week, on ${triedOn[judgement.triedOn](heatpumpsText(evaluation!))}`
    ],
    ...failedCriteria.map((criterion) => ["Fails", criterion] as const),
    ...judgement.training.warnings.map((warning) => ["Note", warning] as const)
  ]
}

/** For `$GITHUB_STEP_SUMMARY`. */
export const summaryMarkdown = (title: string, lines: ReadonlyArray<Line>): string =>
  [
    `### ${title}`,
    "",
    "| | |",
    "| --- | --- |",
    ...lines.map(([name, text]) => `| ${name} | ${text.replaceAll("|", "\\|")} |`),
    ""
  ].join("\n")
