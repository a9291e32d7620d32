/** What River itself computed, recorded once with River 0.23.0 on CPython 3.11; and vectors out of records. */
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import type { FeatureKey } from "../../src/artifact/FeatureKey.js"
import type { HalfSpaceTreesStep } from "../../src/artifact/RiverPipeline.js"

export type RiverRecord = Readonly<Record<string, number>>

export const golden = <Shape>(name: string): Shape => {
  const bytes = readFileSync(new URL(`../fixtures/river/${name}`, import.meta.url))
  return JSON.parse((name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString())
}

/** A record as a vector, NaN where it has no such feature. */
export const vectorOf = (features: ReadonlyArray<FeatureKey>, record: RiverRecord): Float64Array =>
  Float64Array.from(features, (feature) => record[feature] ?? Number.NaN)

export const featuresOf = (records: ReadonlyArray<RiverRecord>): ReadonlyArray<string> => [
  ...new Set(records.flatMap((record) => Object.keys(record)))
]

/** Positions in heap order as River walks a tree: node, left subtree, right subtree. */
const preorder = (nodes: number, node = 0): ReadonlyArray<number> =>
  node >= nodes ? [] : [node, ...preorder(nodes, 2 * node + 1), ...preorder(nodes, 2 * node + 2)]

export type Splits = ReadonlyArray<ReadonlyArray<readonly [feature: string, threshold: number]>>
export type Masses = ReadonlyArray<ReadonlyArray<readonly [learned: number, scoring: number]>>

export const splitsOf = ({ trees, features, height }: HalfSpaceTreesStep): Splits =>
  trees.map(({ split, threshold }) =>
    preorder(2 ** height - 1).map((node) => [String(features[split[node]!]), threshold[node]!] as const)
  )

export const massesOf = ({ trees, height }: HalfSpaceTreesStep): Masses =>
  trees.map(({ lMass, rMass }) => preorder(2 ** (height + 1) - 1).map((node) => [lMass[node]!, rMass[node]!] as const))
