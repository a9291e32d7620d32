import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, it } from "@effect/vitest"
import { codeBlocks, deploymentGuide } from "../support/deploymentGuide.js"
import { requirePart } from "../support/realParts.js"

const run = promisify(execFile)
const hasSystemd = requirePart(
  await run("systemd-analyze", ["--version"]).then(
    () => true,
    () => false
  ),
  "systemd-analyze",
  "apt-get install systemd"
)

it("the German guide has the English one's chapters, commands and links", () => {
  const [english, german] = [deploymentGuide("deployment.md"), deploymentGuide("deployment.de.md")]
  const commands = (text: string) => codeBlocks(text).map(({ code }) => code.replaceAll(/^#.*$/gm, "#"))
  assert.deepStrictEqual(commands(german), commands(english))
  assert.isAbove(commands(english).length, 8)
  const chapters = (text: string) => text.match(/^#+ /gm)
  assert.deepStrictEqual(chapters(german), chapters(english))
  const links = (text: string) => Array.from(text.matchAll(/\]\(([^)]+)\)/g), ([, target]) => target).slice(1)
  assert.deepStrictEqual(links(german), links(english))
  const named = (text: string) => new Set(text.match(/`[^`\n]+`|\d+ (?:MB|GB)/g))
  assert.deepStrictEqual(named(german), named(english))
})

it.skipIf(!hasSystemd)("systemd has nothing to say of the unit but that it is well confined", async () => {
  const unit = fileURLToPath(new URL("../../docs/telemetry.service", import.meta.url))
  const { stderr, stdout } = await run("systemd-analyze", ["verify", unit])
  assert.strictEqual(stdout + stderr, "")
  // 0 is safest, 10 is not confined at all; V8 compiles, so memory stays executable, and a server needs the network.
  await run("systemd-analyze", ["security", "--offline=true", "--threshold=20", unit])
  assert.include(readFileSync(unit, "utf8"), "\nDynamicUser=yes\n")
})
