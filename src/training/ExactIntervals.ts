/**
 * Exact 90 % intervals of counts: between the rates, or shares, at which a count as low, or as high, would have a chance
 * of 5 %. Resampling knows only what was seen: of no alarm at all it makes an interval from 0 to 0.
 *
 * They take the events to be independent. Where a home's are alike, resampling homes gives the wider interval.
 *
 * Sources: F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28 (1936); C. J. Clopper,
 * E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika 26 (1934).
 */
export interface Interval {
  readonly low: number
  readonly high: number
}

const tail = 0.05

/** Where `isBelow` turns false between `low` and `high`. */
const boundary = (low: number, high: number, isBelow: (x: number) => boolean): number => {
  let [from, until] = [low, high]
  for (let halving = 0; halving < 60; halving++) {
    const middle = (from + until) / 2
    if (isBelow(middle)) from = middle
    else until = middle
  }
  return (from + until) / 2
}

/** Whether the chances of a count and of those beyond it, the n-th `ratio(n)` times the one before, exceed the tail. */
const exceedsTail = (first: number, ratio: (n: number) => number): boolean => {
  let sum = 0
  let chance = first
  // What is left of shrinking chances is lost in the sum's last digit.
  for (let n = 1; chance > sum * 1e-17 && sum <= tail; n++) {
    sum += chance
    chance *= ratio(n)
  }
  return sum > tail
}

const sumOfLogs = (count: number, factor: (i: number) => number): number => {
  let sum = 0
  for (let i = 1; i <= count; i++) sum += Math.log(factor(i))
  return sum
}

/** Of the expected number of events, of which so many were seen. */
export const poissonInterval = (events: number): Interval => {
  const logFactorial = sumOfLogs(events, (i) => i)
  const chance = (mean: number) => Math.exp(events * Math.log(mean) - mean - logFactorial)
  return {
    low: events === 0 ? 0 : boundary(0, events, (mean) => !exceedsTail(chance(mean), (n) => mean / (events + n))),
    high: boundary(events, events + 4 * Math.sqrt(events) + 4, (mean) =>
      exceedsTail(chance(mean), (n) => (events - n + 1) / mean)
    )
  }
}

const highestShare = (events: number, trials: number): number => {
  if (events === trials) return 1
  const rest = trials - events
  const logWays = sumOfLogs(events, (i) => (rest + i) / i)
  return boundary(events / trials, 1, (share) =>
    exceedsTail(
      Math.exp(logWays + events * Math.log(share) + rest * Math.log(1 - share)),
      (n) => ((events - n + 1) * (1 - share)) / ((rest + n) * share)
    )
  )
}

/** Of the share of trials with an event; NaN of no trial. */
export const binomialInterval = (events: number, trials: number): Interval =>
  trials === 0
    ? { low: Number.NaN, high: Number.NaN }
    : { low: 1 - highestShare(trials - events, trials), high: highestShare(events, trials) }
