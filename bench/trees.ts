/** Half-space trees against River itself, on the same records. Both are one thread; what counts is its CPU time. */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { HalfSpaceTrees } from "../src/training/HalfSpaceTrees.js"
import { MersenneTwister } from "../src/training/MersenneTwister.js"
import { type Result, show, spread } from "./support.js"

const python = ".venv/bin/python"
const nFeatures = 11
const windowSize = 250
const rounds = 5

const rows = (count: number): ReadonlyArray<Float64Array> => {
  const rng = new MersenneTwister(1)
  return Array.from({ length: count }, () => Float64Array.from({ length: nFeatures }, () => rng.random()))
}

const recordsPerSecond = (nTrees: number, height: number, records: ReadonlyArray<Float64Array>): number => {
  const features = Array.from({ length: nFeatures }, (_, i) => i)
  const trees = HalfSpaceTrees.grow({ nTrees, height, windowSize, limits: [], seed: 42 }, features)
  const started = process.cpuUsage()
  for (const x of records) {
    trees.scoreOne(x)
    trees.learnOne(x)
  }
  const { user, system } = process.cpuUsage(started)
  return records.length / ((user + system) / 1e6)
}

/** River's figure, without the growing of the trees; it needs `.venv` (test/python/requirements.txt). */
const riverPerSecond = (nTrees: number, height: number, records: ReadonlyArray<Float64Array>): number | undefined => {
  if (!existsSync(python)) return undefined
  const input = JSON.stringify(records.map((x) => [...x]))
  const { stdout, status, stderr } = spawnSync(python, ["bench/trees.py", String(nTrees), String(height)], { input })
  if (status !== 0) throw new Error(`River failed: ${stderr}`)
  return Number(stdout)
}

const measure = (nTrees: number, height: number, ours: number, theirs: number) => {
  const many = rows(ours)
  recordsPerSecond(nTrees, height, many)
  // In turn: a machine's speed changes within minutes.
  const turns = Array.from({ length: rounds }, () => ({
    our: recordsPerSecond(nTrees, height, many),
    their: riverPerSecond(nTrees, height, many.slice(0, theirs))
  }))
  const river = turns.flatMap(({ their }) => their ?? [])
  const hasRiver = river.length === rounds
  return {
    "trees × height": `${nTrees} × ${height}`,
    "thousand records/s": show(spread(turns.map(({ our }) => our / 1000))),
    "River's records/s": hasRiver ? show(spread(river)) : "no .venv here",
    ratio: hasRiver ? show(spread(turns.map(({ our }, i) => our / river[i]!))) : ""
  }
}

export const run = async (): Promise<Result> => ({
  question: "Half-space trees: scoring and learning each record, windows of 250 included, against River 0.23.0",
  target: "ratio ≥ 50",
  rows: [measure(50, 6, 100_000, 3000), measure(25, 15, 20_000, 1000)]
})
