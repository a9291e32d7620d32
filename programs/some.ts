export const count = new Intl.NumberFormat("en")

/** `1 record`, `2,000 records`. */
export const some = (n: number, what: string): string => `${count.format(n)} ${what}${n === 1 ? "" : "s"}`
