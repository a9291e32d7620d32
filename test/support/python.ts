/**
 * Real Python with real River, from the virtual environment `.venv` in the project's root. Without it the tests that
 * need it are skipped with one line that says how to make it; with REQUIRE_REAL_PARTS=1 they fail instead.
 */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { describe, it } from "@effect/vitest"

const python = fileURLToPath(new URL("../../.venv/bin/python", import.meta.url))
const command = "python3 -m venv .venv && .venv/bin/pip install -r test/python/requirements.txt"

/** Runs a script of `test/python` and reads what it prints as JSON. */
export const runPython = async <Shape>(script: string, ...args: ReadonlyArray<string>): Promise<Shape> => {
  const file = fileURLToPath(new URL(`../python/${script}`, import.meta.url))
  const { stdout } = await promisify(execFile)(python, [file, ...args], { maxBuffer: 256 * 1024 * 1024 })
  return JSON.parse(stdout)
}

/** A `describe` whose tests run Python. */
export const describeWithPython = (name: string, tests: () => void): void => {
  if (existsSync(python)) describe(name, tests)
  else if (process.env.REQUIRE_REAL_PARTS === "1") {
    describe(name, () => {
      it("has a virtual environment with River", () => {
        throw new Error(`No .venv here: ${command}`)
      })
    })
  } else {
    process.stdout.write(`${name}: skipped, no .venv here. Make one: ${command}\n`)
    describe.skip(name, tests)
  }
}
