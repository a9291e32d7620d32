import { maxVerdicts, type Verdict, type VerdictCode } from "../domain/Submission.js"

/** What was refused of one submission: the first ones in full, all of them counted. */
export class Verdicts {
  readonly first: Array<Verdict> = []
  readonly counts = new Map<VerdictCode, number>()

  /** @param index of the record */
  report(index: number, code: VerdictCode, field?: string, count = 1): void {
    this.counts.set(code, (this.counts.get(code) ?? 0) + count)
    if (this.first.length === maxVerdicts) return
    this.first.push(field === undefined ? { index, code } : { index, code, field: field.slice(0, 128) })
  }
}
