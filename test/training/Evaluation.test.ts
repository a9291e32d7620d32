/** Intervals of made-up trials whose figures are known. */
import { assert, describe, it } from "@effect/vitest"
import { modes } from "../../src/domain/Mode.js"
import { evaluate } from "../../src/training/Evaluation.js"
import { faultKinds } from "../../src/training/Faults.js"
import type { HomeTrial } from "../../src/training/Trial.js"

const weeks = 3

/** A heat pump with so many false alarms, and ten episodes of heating of which so many were noticed. */
const trialOf = (installationId: string, falseAlarms: number, noticed: number): HomeTrial => {
  const byMode = <A>(value: A) => ({ heating: value, cooling: value, water: value, standby: value })
  const outcome = (delayMinutes: number | undefined) => ({ scores: Float64Array.of(0.6), polls: 100, delayMinutes })
  return {
    installationId,
    weeks,
    clean: byMode({ scores: new Float64Array(600).fill(0.5), polls: 600, pollsInAlarm: 0 }),
    alarms: Array.from({ length: falseAlarms }, (_, i) => ({ timeMs: i, mode: modes[0]! })),
    episodes: faultKinds.map((kind, k) => {
      const one = outcome(k < noticed ? 5 : undefined)
      return { kind, severity: 1, startMs: 0, byMode: byMode(one), overall: one }
    }),
    learned: byMode(0)
  }
}
const alarms = [0, 3, 1, 8, 0, 2, 5, 0]
const noticed = [10, 2, 9, 8, 4, 10, 7, 9]
const fleet = alarms.map((falseAlarms, i) => trialOf(`home ${i}`, falseAlarms, noticed[i]!))

describe("Evaluation", () => {
  it("draws installations, not heat pumps: one more just like it in every home narrows nothing by chance", () => {
    const single = evaluate("single", fleet, 1)
    const paired = evaluate(
      "paired",
      fleet.flatMap((trial) => [trial, trial]),
      1
    )
    assert.deepStrictEqual([paired.installations, paired.heatpumps, paired.weeks], [8, 16, 2 * weeks * 8])
    assert.deepStrictEqual(paired.overall.falseAlarmsPerWeek, single.overall.falseAlarmsPerWeek)
    assert.deepStrictEqual(paired.overall.caught.share, single.overall.caught.share)
    assert.deepStrictEqual(paired.byMode.heating.rocAuc, single.byMode.heating.rocAuc)
    assert.strictEqual(paired.overall.caught.episodes, 160)
  })

  it("is as uncertain as the counts are, where every home has the same", () => {
    const same = ["a", "b", "c"].map((name) => trialOf(name, 0, 10))
    const { caught, falseAlarmsPerWeek } = evaluate("same", same, 1).overall
    // Of no event, the mean that has none with a chance of 5 %: -ln 0.05 = 3.00.
    assert.strictEqual(falseAlarmsPerWeek.low, 0)
    assert.closeTo(falseAlarmsPerWeek.high, -Math.log(0.05) / (3 * weeks), 1e-9)
    assert.closeTo(caught.share.low, 0.05 ** (1 / 30), 1e-9)
    assert.strictEqual(caught.share.high, 1)
    // A single home has this interval, and none of what is drawn.
    const one = evaluate("one", same.slice(0, 1), 1)
    assert.closeTo(one.overall.caught.share.low, 0.05 ** (1 / 10), 1e-9)
    assert.isNaN(one.byMode.heating.rocAuc.low)
  })
})
