/**
 * The features of the time alone: `hour_of_day` (0 to 23), `day_of_week` (Monday 0) and `is_weekend` (0 or 1), in UTC.
 */
import type { timeFeatures } from "./FeatureNames.js"

const hourMs = 3_600_000
const dayMs = 24 * hourMs
/** 1970 began on a Thursday. */
const dayOfWeek = (timestampMs: number) => (Math.floor(timestampMs / dayMs) + 3) % 7

const byName: Readonly<Record<(typeof timeFeatures)[number], (timestampMs: number) => number>> = {
  hour_of_day: (timestampMs) => Math.floor(timestampMs / hourMs) % 24,
  day_of_week: dayOfWeek,
  is_weekend: (timestampMs) => (Number.isNaN(timestampMs) ? Number.NaN : dayOfWeek(timestampMs) >= 5 ? 1 : 0)
}
const timeFunctions: ReadonlyMap<string, (timestampMs: number) => number> = new Map(Object.entries(byName))

/** A feature of the time alone; undefined for others. */
export const timeFeature = (name: string) => timeFunctions.get(name)
