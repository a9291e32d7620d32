/** For people: "12 s", "3 min 5 s", "2 h 3 min", "4 d 5 h". */
export const duration = (seconds: number): string => {
  const minutes = Math.floor(seconds / 60)
  const hours = Math.floor(minutes / 60)
  const days = Math.floor(hours / 24)
  if (days > 0) return `${days} d ${hours % 24} h`
  if (hours > 0) return `${hours} h ${minutes % 60} min`
  const rest = `${Math.floor(seconds % 60)} s`
  return minutes > 0 ? `${minutes} min ${rest}` : rest
}
