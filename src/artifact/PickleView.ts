/**
 * Looks into a pickled object graph and says where it is not what was expected.
 *
 * Every mutable object may be read only once: River's pipelines are trees, and a graph that shares its branches could
 * be exponentially larger than its bytes. Tuples may be shared and are therefore short.
 */
import { Data } from "effect"
import type { FeatureKey } from "./FeatureKey.js"
import { PickleDict, type PickleGlobal, PickleInstance, PickleList, PickleTuple, type PickleValue } from "./Pickle.js"

/** The pickle is not a model of four pipelines that this program can run; `path` leads to the part at fault. */
export class UnreadableModel extends Data.TaggedError("UnreadableModel")<{
  readonly path: string
  readonly reason: string
}> {
  override get message(): string {
    return `not a readable model: ${this.path} ${this.reason}`
  }
}

/** Nodes in one model: above those of four detectors of 25 trees of height 15. */
const mostNodes = 2 ** 23

interface Budget {
  readonly seen: Set<PickleValue>
  nodes: number
}

export class PickleView {
  readonly #budget: Budget
  constructor(
    readonly value: PickleValue,
    readonly path: string,
    budget: Budget = { seen: new Set(), nodes: 0 }
  ) {
    this.#budget = budget
  }

  refuse(reason: string): never {
    throw new UnreadableModel({ path: this.path, reason })
  }

  at(name: string | number, value: PickleValue | undefined): PickleView {
    const path = `${this.path}.${name}`
    if (value === undefined) throw new UnreadableModel({ path, reason: "is missing" })
    return new PickleView(value, path, this.#budget)
  }

  float(): number {
    const number = typeof this.value === "bigint" ? Number(this.value) : this.value
    return typeof number === "number" && Number.isFinite(number) ? number : this.refuse("is no finite number")
  }

  count(least = 0, most = Number.MAX_SAFE_INTEGER): number {
    if (typeof this.value !== "bigint" || this.value < BigInt(least)) {
      return this.refuse(`is no whole number from ${least}`)
    }
    return this.value <= BigInt(most) ? Number(this.value) : this.refuse(`is above ${most}`)
  }

  /** River knows seeds of None, which do not matter once a model is trained. */
  seed(): number {
    return this.value === null ? 0 : this.count()
  }

  boolean(): boolean {
    return typeof this.value === "boolean" ? this.value : this.refuse("is no bool")
  }

  text(): string {
    return typeof this.value === "string" ? this.value : this.refuse("is no str")
  }

  feature(): FeatureKey {
    return typeof this.value === "bigint" ? this.count() : this.text()
  }

  tuple(): ReadonlyArray<PickleView> {
    if (!(this.value instanceof PickleTuple)) return this.refuse("is no tuple")
    if (this.value.items.length > mostItems) return this.refuse("has too many items")
    return this.value.items.map((item, i) => this.at(i, item))
  }

  list(): ReadonlyArray<PickleView> {
    if (!(this.value instanceof PickleList)) return this.refuse("is no list")
    this.#claim()
    return this.value.items.map((item, i) => this.at(i, item))
  }

  /** The value of each feature; a later entry replaces an earlier one, as in Python. */
  byFeature(): ReadonlyMap<FeatureKey, PickleView> {
    const entries = this.#entries().map(([key, value]) => {
      const feature = this.at("key", key).feature()
      return [feature, this.at(feature, value)] as const
    })
    return new Map(entries)
  }

  /** The value of each name, in order. */
  byName(): ReadonlyMap<string, PickleView> {
    return new Map(
      this.#entries().map(([key, value]) => {
        const name = this.at("key", key).text()
        return [name, this.at(name, value)]
      })
    )
  }

  /** What a function or class returned that was called with these arguments. */
  call(callable: PickleGlobal): PickleInstance {
    const { value } = this
    if (!(value instanceof PickleInstance) || !isGlobal(value.callable, callable)) {
      return this.refuse(`is no ${callable.name}`)
    }
    this.#claim()
    return value
  }

  is(callable: PickleGlobal): boolean {
    return this.value instanceof PickleInstance && isGlobal(this.value.callable, callable)
  }

  /** An object's attributes; reading one that is not there says so. */
  attributes(cls: PickleGlobal): (name: string) => PickleView {
    const { states } = this.call(cls)
    if (states.length !== 1 || !(states[0] instanceof PickleDict)) return this.refuse("has no attributes")
    const { entries } = states[0]
    // The same state may belong to many leaves, so that the search must not cost more than a few steps.
    if (entries.length > mostAttributes) return this.refuse("has too many attributes")
    return (name) => this.at(name, entries.findLast(([key]) => key === name)?.[1])
  }

  /** Accounts for trees, which take the room of complete ones however few branches they have. */
  reserve(nodes: number): void {
    this.#budget.nodes += nodes
    if (this.#budget.nodes > mostNodes) this.refuse(`has more than ${mostNodes} nodes`)
  }

  #entries() {
    const { value } = this
    this.#claim()
    if (value instanceof PickleDict) return value.entries
    if (value instanceof PickleInstance && value.states.length === 0) return value.entries
    return this.refuse("is no dict")
  }

  #claim(): void {
    if (this.#budget.seen.has(this.value)) this.refuse("is shared with another object")
    this.#budget.seen.add(this.value)
  }
}

const mostAttributes = 16
const mostItems = 4

const isGlobal = (global: PickleGlobal, expected: PickleGlobal) =>
  global.module === expected.module && global.name === expected.name
