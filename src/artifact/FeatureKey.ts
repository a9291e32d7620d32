import { compareCodePoints } from "./compareCodePoints.js"

/** A feature's name, or the number of a component that a projector produced. Python tells 3 from "3", and so do we. */
export type FeatureKey = string | number

/** Python's order: numbers by value, strings by code point. Python refuses to mix the two; here numbers come first. */
export const compareFeatureKeys = (a: FeatureKey, b: FeatureKey): number => {
  if (typeof a === "number") return typeof b === "number" ? a - b : -1
  return typeof b === "number" ? 1 : compareCodePoints(a, b)
}

/** The name that `PolynomialExtender` gives to the product of two features. */
export const productKey = (a: FeatureKey, b: FeatureKey): string => [a, b].sort(compareFeatureKeys).join("*")
