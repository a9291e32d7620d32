/** Figures for people: a dash where there is none, an interval in brackets. */
import type { Estimate } from "./RankMetrics.js"

export const count = new Intl.NumberFormat("en")
export const fixed = (value: number, digits: number) => (Number.isNaN(value) ? "–" : value.toFixed(digits))
export const interval = ({ value, low, high }: Estimate, digits: number) =>
  Number.isNaN(low) ? fixed(value, digits) : `${fixed(value, digits)} (${fixed(low, digits)} to ${fixed(high, digits)})`
export const percent = (share: number) => (Number.isNaN(share) ? "–" : `${(share * 100).toFixed(0)} %`)
export const percentInterval = ({ value, low, high }: Estimate) =>
  Number.isNaN(low) ? percent(value) : `${percent(value)} (${percent(low)} to ${percent(high)})`
export const minutes = (value: number) => (Number.isNaN(value) ? "–" : `${value.toFixed(0)} min`)
export const title = (text: string) => `${text[0]!.toUpperCase()}${text.slice(1)}`
export const sentence = (text: string) => `${title(text)}.`
