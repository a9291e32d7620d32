/**
 * Parts that tests run for real and that a developer's machine may lack. CI sets `REQUIRE_REAL_PARTS`, so that nothing is
 * skipped there in silence.
 */
import { accessSync, constants, existsSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

/** The first executable of that name on the PATH. */
const findExecutable = (name: string): string | undefined =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .map((directory) => join(directory, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })

/** Whether tests can use it. Says once what is missing and how to get it; in CI that is a failure. */
export const requirePart = (isThere: boolean, what: string, remedy: string): boolean => {
  if (isThere) return true
  if (process.env.REQUIRE_REAL_PARTS !== undefined) throw new Error(`${what} is missing: ${remedy}`)
  process.stdout.write(`not tested, because ${what} is missing: ${remedy}\n`)
  return false
}

export const victoriaMetricsBinary = findExecutable("victoria-metrics")

export const hasVictoriaMetrics = requirePart(
  victoriaMetricsBinary !== undefined,
  "VictoriaMetrics",
  "apt-get install victoria-metrics"
)

/** Of the virtual environment, as River is. */
export const schemathesis = fileURLToPath(new URL("../../.venv/bin/st", import.meta.url))
export const requireSchemathesis = (): boolean =>
  requirePart(existsSync(schemathesis), "schemathesis", ".venv/bin/pip install -r test/python/requirements.txt")
