/** Debian's Chromium, for tests that look at a page as people do. */
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { requirePart } from "./realParts.js"

const executable = "/usr/bin/chromium"

export const hasChromium = requirePart(existsSync(executable), "Chromium", "apt-get install chromium")

/** No network, no services of its own, a profile that is thrown away. */
const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--hide-scrollbars"
]

const run = async (...args: ReadonlyArray<string>): Promise<string> => {
  const profile = mkdtempSync(join(tmpdir(), "chromium-"))
  try {
    const options = { maxBuffer: 64 * 1024 * 1024, timeout: 45_000 }
    const { stdout } = await promisify(execFile)(executable, [...flags, `--user-data-dir=${profile}`, ...args], options)
    return stdout
  } finally {
    rmSync(profile, { recursive: true, force: true })
  }
}

/** The page's DOM after its scripts have run. */
export const dumpDom = (file: string): Promise<string> => run("--dump-dom", `file://${file}`)

export const screenshot = (file: string, image: string, isDark: boolean, size = "900,5200"): Promise<string> =>
  run(
    `--screenshot=${image}`,
    `--window-size=${size}`,
    ...(isDark ? ["--blink-settings=preferredColorScheme=0"] : []),
    `file://${file}`
  )
