/**
 * Which homes a model may see: by installation, never by record, because records of one home are alike.
 *
 * Homes are sorted by a seeded hash of their id and cut at 80 %, so neither the order in which data arrived nor the
 * names decide. At most 500 are fitted: of more, memory would hold slivers, and in a home's first days alarms are more
 * common than later, so that slivers make the threshold too high. At most 40 of the last 20 % are tested. Below five
 * homes there is nothing to cut: each is tested once with a model of the others.
 */
import { createHash } from "node:crypto"

export interface Split {
  readonly fit: ReadonlyArray<string>
  readonly test: ReadonlyArray<string>
}

const fewestForCut = 5
const testShare = 0.2
const mostFitted = 500
/** More tell nothing new, and the scores of each are kept until all are known. */
const mostTested = 40

/** In an order that only the seed and the names decide. */
export const seededOrder = (names: ReadonlyArray<string>, seed: number): ReadonlyArray<string> =>
  names
    .map((name) => ({ name, hash: createHash("sha256").update(`${seed}:${name}`).digest("hex") }))
    .sort((a, b) => (a.hash < b.hash ? -1 : 1))
    .map(({ name }) => name)

/**
 * One split, or as many as there are homes when there are fewer than five; none for one home, which only time can
 * split.
 */
export const splitByInstallation = (installationIds: ReadonlyArray<string>, seed: number): ReadonlyArray<Split> => {
  const order = seededOrder(installationIds, seed)
  if (order.length < 2) return []
  if (order.length < fewestForCut) return order.map((one) => ({ fit: order.filter((id) => id !== one), test: [one] }))
  const cut = order.length - Math.round(testShare * order.length)
  return [{ fit: order.slice(0, Math.min(cut, mostFitted)), test: order.slice(cut, cut + mostTested) }]
}
