/**
 * `docs/deployment.md` word by word, on a fresh copy of what a clone has: its commands as they stand, in their order, with
 * stand-ins for docker, git and systemctl, and with its absolute paths below a directory of the test.
 */
import { execFile, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { codeBlocks, deploymentGuide } from "../support/deploymentGuide.js"
import { mainFile, runProgram } from "../support/program.js"
import { newHome, submit } from "../support/testServer.js"
import { freePort } from "../support/victoriaMetrics.js"

const run = promisify(execFile)
const root = fileURLToPath(new URL("../../", import.meta.url))
const blocks = codeBlocks(deploymentGuide("deployment.md"))
const chapter = (heading: string) => blocks.filter((block) => block.heading === heading).map(({ code }) => code)

const directory = mkdtempSync(join(tmpdir(), "telemetry-guide-"))
const commands = join(directory, "bin")
const clone = join(directory, "clone")

const command = (name: string, script: string) => {
  writeFileSync(join(commands, name), `#!/usr/bin/env bash\n${script}\n`)
  chmodSync(join(commands, name), 0o755)
}

beforeAll(async () => {
  mkdirSync(commands)
  const { stdout } = await run("git", ["ls-files", "-z"], { cwd: root })
  for (const file of stdout.split("\0").filter((name) => name !== "")) cpSync(join(root, file), join(clone, file))
  cpSync(join(root, "test/support/docker.sh"), join(commands, "docker"))
  command("git", `if [ "$1" = clone ]; then cp -r '${clone}' "$3"; else [ "$1" = pull ]; fi`)
  command("systemctl", 'echo "$@" >> "$STAND_IN/systemctl"')
  command("journalctl", 'cat "$STAND_IN/log" 2>/dev/null || true')
}, 60_000)
afterAll(() => rmSync(directory, { recursive: true }), 60_000)

/** A whole block as one shell would have it, ended by its first failure. */
const type = async (code: string, cwd: string, environment: Readonly<Record<string, string>>): Promise<string> => {
  const env = { PATH: `${commands}:${process.env.PATH}`, HOME: process.env.HOME ?? "", ...environment }
  const { stdout } = await run("bash", ["--norc", "-euo", "pipefail", "-c", code], {
    cwd,
    env,
    maxBuffer: 64 * 1024 * 1024
  })
  return stdout
}
const isDuplicate = async (url: string, body: unknown, token: string) => {
  const response = await submit(url, body, { authorization: `Bearer ${token}` })
  const text = await response.text()
  assert.strictEqual(response.status, 200, text)
  return text.includes('"duplicate":true')
}
const body = () => newHome([{ timestamp: Date.now() / 1000, temp_outside: 5 }])

describe("docs/deployment.md", () => {
  it("with Docker: starts once .env is filled in, backs up, restores, upgrades", async () => {
    const stand = mkdtempSync(join(directory, "docker-"))
    const port = await freePort()
    const environment = { STAND_IN: stand, MAIN: mainFile, PORT: String(port) }
    try {
      const [start] = chapter("With Docker")
      await type(start!, stand, environment).then(
        () => assert.fail("started with the template as it is"),
        ({ stderr }) => assert.match(stderr, /is empty in \.env/)
      )
      rmSync(join(stand, "telemetry"), { recursive: true })

      const tokens = { AUTH_TOKEN: randomBytes(32).toString("base64"), ADMIN_TOKEN: randomBytes(32).toString("base64") }
      const { stdout: keys } = await runProgram(["keygen"])
      const filled = {
        ...tokens,
        TELEMETRY_DOMAIN: "collector.example.org",
        ACME_EMAIL: "operator@example.org",
        TELEMETRY_ENCRYPTION_KEY: /^TELEMETRY_ENCRYPTION_KEY=(.+)$/m.exec(keys)![1]!
      }
      const fill = Object.entries(filled)
        .map(([name, value]) => `sed -i 's#^${name}=.*#${name}=${value}#' .env`)
        .join("\n")
      const started = await type(start!.replace("# fill in every line", fill), stand, environment)
      assert.match(started, /^Server {11}online/m)
      assert.match(started, /^ok {7}tokens {10}1 for loggers, 1 for operators/m)
      assert.notMatch(started, /PROBLEM|WARNING/)

      const cwd = join(stand, "telemetry")
      const url = `http://127.0.0.1:${port}`
      const home = body()
      assert.isFalse(await isDuplicate(url, home, tokens.AUTH_TOKEN))
      const [backup, restore] = chapter("Backup and restore")
      await type(backup!, cwd, environment)
      const since = body()
      assert.isFalse(await isDuplicate(url, since, tokens.AUTH_TOKEN))
      await type(restore!, cwd, environment)
      assert.isTrue(await isDuplicate(url, home, tokens.AUTH_TOKEN))
      assert.isFalse(await isDuplicate(url, since, tokens.AUTH_TOKEN))
      assert.notInclude(await type(chapter("Upgrades")[0]!, cwd, environment), "PROBLEM")
    } finally {
      await type("[ ! -e $STAND_IN/pid ] || docker compose stop", stand, environment)
    }
  })

  it("with systemd: builds, and what the unit starts serves, confined to its directory", async () => {
    const stand = mkdtempSync(join(directory, "systemd-"))
    for (const name of ["opt", "etc/systemd/system", "var/lib"]) mkdirSync(join(stand, name), { recursive: true })
    const here = (text: string) => text.replaceAll(/(?<![\w.])\/(opt|etc|var)\//g, `${stand}/$1/`)
    await type(here(chapter("With systemd")[0]!), clone, { STAND_IN: stand })
    assert.strictEqual(readFileSync(join(stand, "systemctl"), "utf8"), "daemon-reload\nenable --now telemetry\n")

    const unit = here(readFileSync(join(stand, "etc/systemd/system/telemetry.service"), "utf8"))
    const setting = (name: string) =>
      Array.from(unit.matchAll(new RegExp(`^${name}=-?(.*)$`, "gm")), ([, value]) => value!)
    for (const credential of setting("LoadCredential")) {
      const [name, file] = credential.split(":")
      assert.strictEqual(file, join(stand, "etc/telemetry", name!))
    }
    const port = await freePort()
    const pairs = [
      ...setting("Environment").flatMap((line) => line.split(" ")),
      readFileSync(setting("EnvironmentFile")[0]!, "utf8").trim()
    ]
    const env = Object.fromEntries(pairs.map((pair) => pair.replace("%d", join(stand, "etc/telemetry")).split("=")))
    const [program, ...args] = setting("ExecStart")[0]!.split(" ")
    const child = spawn(program!, args, { env: { ...env, PORT: String(port) }, stdio: "ignore" })
    try {
      const url = `http://127.0.0.1:${port}`
      for (let attempt = 0; (await runProgram(["healthcheck", "--url", url])).code !== 0; attempt++)
        assert.isBelow(attempt, 60)
      const token = readFileSync(join(stand, "etc/telemetry/auth-token"), "utf8").trim()
      assert.isFalse(await isDuplicate(url, body(), token))
      const doctor = await promisify(execFile)(program!, [args[0]!, "doctor"], { env: { ...env, PORT: String(port) } })
      assert.notMatch(doctor.stdout, /PROBLEM|WARNING/)
    } finally {
      child.kill("SIGTERM")
    }
    const code = await new Promise((resolve) => child.once("exit", resolve))
    assert.strictEqual(code, 0)
  })
})
