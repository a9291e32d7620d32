import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "@effect/vitest"

/** For one test file, which calls it while it loads: directories that go away after its tests. */
export const freshDirectories = () => {
  const root = mkdtempSync(join(tmpdir(), "telemetry-test-"))
  afterAll(() => rmSync(root, { recursive: true }))
  let directories = 0
  return () => {
    const directory = join(root, String(directories++))
    mkdirSync(directory)
    return directory
  }
}
