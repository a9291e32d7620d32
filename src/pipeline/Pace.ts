/**
 * Whether a body comes fast enough to be waited for while others need its place: at least as fast as it must to be
 * whole within five minutes, and never slower than the slowest modem.
 */
const wholeWithinMs = 300_000
const leastBytesPerSecond = 1_000

/** Received so far as a multiple of what should be: below 1 is slow. `bytes` is what the body may grow to. */
export const paceOf = (receivedBytes: number, bytes: number, tookMs: number): number =>
  receivedBytes / Math.max((bytes * tookMs) / wholeWithinMs, (leastBytesPerSecond * tookMs) / 1000)
