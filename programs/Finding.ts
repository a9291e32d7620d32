/** What a check of `doctor` comes to. */
export interface Finding {
  readonly check: string
  readonly state: "ok" | "warning" | "problem"
  readonly finding: string
  /** What to do; null when nothing is to be done. */
  readonly remedy: string | null
}

export const ok = (check: string, finding: string): Finding => ({ check, state: "ok", finding, remedy: null })
export const warning = (check: string, finding: string, remedy: string): Finding => ({
  check,
  state: "warning",
  finding,
  remedy
})
export const problem = (check: string, finding: string, remedy: string): Finding => ({
  check,
  state: "problem",
  finding,
  remedy
})
