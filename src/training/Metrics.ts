/** `metrics.json`: the figures of a model, in an order and a precision that make a difference readable in CI. */
import { modes } from "../domain/Mode.js"
import type { CaughtFigures, Evaluation } from "./Evaluation.js"
import { faultKinds, severities } from "./Faults.js"
import type { Judgement } from "./Judgement.js"
import type { Estimate } from "./RankMetrics.js"

/** JSON has no NaN; a tenth of a thousandth is far within every interval. */
const rounded = (value: number): number | null => (Number.isFinite(value) ? Math.round(value * 1e4) / 1e4 : null)
const estimate = ({ value, low, high }: Estimate) => ({ value: rounded(value), low: rounded(low), high: rounded(high) })
const caught = ({ episodes, medianDelayMinutes, share, caught }: CaughtFigures) => ({
  episodes,
  caught,
  share: estimate(share),
  median_delay_minutes: rounded(medianDelayMinutes)
})

const evaluationMetrics = (evaluation: Evaluation) => ({
  installations: evaluation.installations,
  heat_pumps: evaluation.heatpumps,
  weeks: rounded(evaluation.weeks),
  overall: {
    false_alarms_per_week: estimate(evaluation.overall.falseAlarmsPerWeek),
    share_in_alarm: rounded(evaluation.overall.shareInAlarm),
    caught: caught(evaluation.overall.caught),
    by_severity: Object.fromEntries(
      severities.map((severity) => [`severity ${severity}`, caught(evaluation.overall.bySeverity[severity])])
    ),
    by_fault: Object.fromEntries(faultKinds.map((kind) => [kind, caught(evaluation.overall.byKind[kind])]))
  },
  modes: Object.fromEntries(
    modes.map((mode) => {
      const figures = evaluation.byMode[mode]
      if (figures.notEvaluated !== undefined) {
        return [mode, { records: figures.records, not_evaluated: figures.notEvaluated }]
      }
      return [
        mode,
        {
          records: figures.records,
          roc_auc: estimate(figures.rocAuc),
          average_precision: estimate(figures.averagePrecision),
          mean_fault_roc_auc: estimate(figures.meanKindRocAuc),
          false_alarms_per_week: estimate(figures.falseAlarmsPerWeek),
          share_in_alarm: rounded(figures.shareInAlarm),
          clean_score: {
            q50: rounded(figures.cleanScore.q50),
            q95: rounded(figures.cleanScore.q95),
            q999: rounded(figures.cleanScore.q999)
          },
          caught: caught(figures.caught),
          by_fault: Object.fromEntries(
            faultKinds.map((kind) => [
              kind,
              { roc_auc: estimate(figures.byKind[kind].rocAuc), ...caught(figures.byKind[kind]) }
            ])
          )
        }
      ]
    })
  )
})

export const metricsJson = (
  judgement: Judgement,
  failedCriteria: ReadonlyArray<string>,
  about: { readonly model: string; readonly seed: number; readonly versions: Readonly<Record<string, string>> }
): string => {
  const { drift, forgetting, sample, skippedFaults, training, triedOn } = judgement
  const metrics = {
    format: 1,
    model: about.model,
    seed: about.seed,
    versions: about.versions,
    fingerprint: sample.fingerprint,
    tried_on: triedOn,
    failed_criteria: failedCriteria,
    warnings: training.warnings,
    sensors: training.choice.sensors,
    skipped_faults: skippedFaults,
    evaluations: Object.fromEntries(
      judgement.evaluations.map((evaluation) => [evaluation.name, evaluationMetrics(evaluation)])
    ),
    drift: drift === undefined ? null : evaluationMetrics(drift),
    forgetting:
      forgetting === undefined
        ? null
        : {
            window_size: forgetting.windowSize,
            learned: forgetting.learned,
            heating_roc_auc: estimate(forgetting.evaluation.byMode.heating.rocAuc)
          }
  }
  return `${JSON.stringify(metrics, null, 2)}\n`
}
