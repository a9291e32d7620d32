/** One real heat pump for four days: far too little, and it must be said. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { failedCriteria } from "../../src/training/Gate.js"
import { type Judgement, judge } from "../../src/training/Judgement.js"
import { modelCard } from "../../src/training/ModelCard.js"
import { daikinHome } from "../support/daikin.js"
import { memoryDataset } from "../support/memoryDataset.js"
import { quiet } from "../support/trainedFleet.js"

const options = {
  model: "Altherma",
  range: { fromMs: 0, untilMs: Number.MAX_SAFE_INTEGER },
  minInstallations: 1,
  minPoints: 1_000,
  seed: 42
}

let judgement: Judgement
beforeAll(async () => {
  judgement = await Effect.runPromise(
    judge(memoryDataset("Altherma", [daikinHome()]), options, { champion: undefined, evaluateOnly: false }, quiet)
  )
})

describe("A recording of a real Daikin Altherma", () => {
  it("trains on the first 80 % of its time, with a wider threshold and a warning", () => {
    const { byMode, choice, warnings } = judgement.training
    assert.isUndefined(byMode.heating.untrainedBecause)
    assert.include(choice.missing, "temp_outside_avg")
    assert.isTrue(warnings.some((warning) => /heating: 1 heat pumps? of \d days .* raised by 30 %/.test(warning)))
  })

  it("stays quiet on the rest, and is refused: nothing could be judged on so little", () => {
    const [evaluation] = judgement.evaluations
    assert.isBelow(evaluation!.weeks, 0.2)
    assert.isAtMost(evaluation!.overall.falseAlarmsPerWeek.value, 0.5)
    const failed = failedCriteria({
      ...options,
      challenger: evaluation!,
      model: judgement.training.model,
      champion: undefined,
      meanAbsoluteZ: judgement.meanAbsoluteZ,
      installations: 1,
      points: 12_000,
      fileDifference: 0
    })
    assert.deepStrictEqual(failed, ["no mode could be evaluated: too few records of homes that were not fitted"])
    const { markdown } = modelCard({
      model: "Altherma",
      judgement,
      evaluation: evaluation!,
      failedCriteria: failed,
      isGated: true,
      seed: 42,
      versions: {}
    })
    assert.include(markdown, "over 0.1 installation-weeks")
    assert.notInclude(markdown, "NaN")
  })
})
