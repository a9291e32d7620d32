/** For people: "812 B", "48.2 kB", "1.4 GB"; a thousand to the next unit. */
export const inBytes = (n: number): string => {
  const unit = Math.min(4, Math.floor(Math.log10(Math.max(1, n)) / 3))
  return `${(n / 1000 ** unit).toFixed(unit === 0 ? 0 : 1)} ${["B", "kB", "MB", "GB", "TB"][unit]}`
}
