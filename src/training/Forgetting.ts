/**
 * Whether a model still tells faults from normal operation after it has learned a home's normal operation for long.
 *
 * The detectors learn each home's clean records over and over until twice their window is full, at most three times
 * over, and are tried once more. A window that no home will ever complete (`endlessWindow`) is passed over once: only
 * the home's own scaler goes on learning, and that is what the figure shows.
 */
import { endlessWindow, type Model } from "../artifact/RiverPipeline.js"
import { modes } from "../domain/Mode.js"
import { type Evaluation, evaluate } from "./Evaluation.js"
import type { HomeRecords } from "./HomeRecords.js"
import { riverCandidate } from "./RiverCandidate.js"
import { AlarmRule, mostReadMs, pollsOf, runLoop, sightingsOf } from "./ServiceLoop.js"
import { type Candidate, tryHome } from "./Trial.js"

export interface Forgetting {
  /** Of the heating detector. */
  readonly windowSize: number
  readonly isEndless: boolean
  /** Sightings of heating that were learned before the trial, the fewest of any home. */
  readonly learned: number
  readonly evaluation: Evaluation
}

const mostPasses = 3
const episodesPerHome = 60
const heating = modes.indexOf("heating")
const nothing = () => {}

export const tryForgetting = (
  model: Model,
  homes: ReadonlyArray<HomeRecords>,
  seed: number
): Forgetting | undefined => {
  const { windowSize } = model.heating.detector
  const fresh = riverCandidate("after learning", model)
  let fewest = Number.POSITIVE_INFINITY
  const trials = homes.map((home, number) => {
    const perPass = sightingsOf(home, []).modes.reduce((sum, mode) => sum + (mode === heating ? 1 : 0), 0)
    const passes =
      windowSize >= endlessWindow ? 1 : Math.min(mostPasses, Math.ceil((2 * windowSize) / Math.max(1, perPass)))
    fewest = Math.min(fewest, passes * perPass)
    const experienced: Candidate = {
      ...fresh,
      detectors: (features) => {
        const detectors = fresh.detectors(features)
        for (let pass = 0; pass < passes; pass++) {
          const polls = pollsOf(home, features)
          while (polls.nextMs() < Number.POSITIVE_INFINITY) {
            runLoop(detectors, polls.read(polls.nextMs() + mostReadMs), new AlarmRule(), nothing)
          }
        }
        return detectors
      }
    }
    return tryHome([experienced], home, number, { seed, episodesPerHome })[0]!
  })
  if (trials.length === 0) return undefined
  return {
    windowSize,
    isEndless: windowSize >= endlessWindow,
    learned: fewest,
    evaluation: evaluate("after learning", trials, seed)
  }
}
