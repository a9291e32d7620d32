/**
 * A stranger's first quarter of an hour: a clone, the README's commands in their order and nothing else, until the model card of
 * the demo's training is a picture. Whatever they print that a stranger would stop at is a failure.
 *
 * `MODEL_CARD_PICTURE=docs/model-card.png npm run test:soak -- stranger` makes the README's picture anew.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { hasChromium, screenshot } from "../support/chromium.js"
import { pipelinesCommands, strangersCommands } from "../support/documentedCommands.js"
import { commandsOf, fencesOf, root } from "../support/markdown.js"
import { readPng } from "../support/png.js"

const freePort = async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  if (address === null || typeof address === "string") throw new Error("no port")
  return String(address.port)
}

/** What makes a stranger doubt: npm's own words, Node's, ours. */
const doubtful = /\bwarn|npm error|deprecat|error:|exception|\bBUG\b|undefined|\bNaN\b|\n +at /i
const isRunningOn = new Set(["npm ci && npm start", "npm run demo"])

interface Background {
  readonly command: string
  readonly child: ChildProcess
  readonly said: () => string
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

const waitUntil = async (condition: () => boolean, what: string) => {
  for (let i = 0; i < 6_000; i++) {
    if (condition()) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`waited ten minutes for ${what}`)
}

/** Left: what the card says first. Right: its first figures. */
const pictureOf = (card: string) =>
  `<!doctype html><style>body{margin:0;display:flex;background:#fff}div{width:700px;height:800px;overflow:hidden;position:relative}
  iframe{border:0;width:700px;height:6000px;position:absolute}</style>
  <div><iframe src="file://${card}"></iframe></div><div><iframe style="top:-2890px" src="file://${card}"></iframe></div>`

describe.runIf(hasChromium)("a stranger with the README", () => {
  it("comes from a clone to a model card, and nothing on the way looks wrong", { timeout: 1_200_000 }, async () => {
    const directory = mkdtempSync(join(tmpdir(), "telemetry-stranger-"))
    const clone = join(directory, "clone")
    await promisify(execFile)("git", ["clone", "--quiet", "--depth", "1", `file://${root}`, clone])
    const [port, demoPort] = [await freePort(), await freePort()]
    const env = {
      PATH: process.env.PATH ?? "",
      HOME: process.env.HOME ?? "",
      NO_COLOR: "1",
      PORT: port,
      npm_config_update_notifier: "false"
    }
    const readme = readFileSync(join(clone, "README.md"), "utf8")
    const background: Array<Background> = []
    const outputs = new Map<string, string>()
    // Sourced settings stay in a shell, which here is a new one for each command.
    let before = ""

    const here = (command: string) =>
      command
        .replaceAll("127.0.0.1:8000", `127.0.0.1:${port}`)
        .replaceAll("127.0.0.1:8001", `127.0.0.1:${demoPort}`)
        .replace("npm run demo", `npm run demo -- --port ${demoPort}`)

    const start = async (command: string) => {
      // A process group, as a terminal has it, so that Ctrl-C reaches all of it.
      const child = spawn("bash", ["--norc", "-c", here(command)], { cwd: clone, env, detached: true })
      let said = ""
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (text: string) => {
          said += text
        })
      }
      background.push({ command, child, said: () => said })
      await waitUntil(
        () => hasEnded(child) || /Listening on http|Ctrl-C stops the server/.test(said),
        `${command} to serve`
      )
      assert.isFalse(hasEnded(child), said)
    }

    try {
      const commands = fencesOf(readme).flatMap((fence) => (fence.info === "bash" ? commandsOf(fence) : []))
      for (const command of commands) {
        if (pipelinesCommands.has(command)) continue
        const startedMs = performance.now()
        if (isRunningOn.has(command)) {
          await start(command)
        } else if (command.startsWith("set -a;")) {
          before = `${command}\n`
        } else {
          const { stderr, stdout } = await promisify(execFile)("bash", ["--norc", "-euc", before + here(command)], {
            cwd: clone,
            env,
            maxBuffer: 1e8
          })
          outputs.set(command, stdout)
          assert.notMatch(stdout + stderr, doubtful, command)
        }
        process.stdout.write(`${((performance.now() - startedMs) / 1000).toFixed(0)} s: ${command.split("\n")[0]}\n`)
      }
      for (const command of strangersCommands) assert.include(commands, command)

      // What the README shows is what they said, but for times, sizes and figures.
      const lettersOf = (text: string) => text.match(/^[A-Z][a-z]+(?= {2})/gm)
      const shown = fencesOf(readme).filter(({ info }) => info === "text")
      const trained = [...outputs].find(([command]) => command.includes("telemetry train"))![1]
      const shownTraining = shown.find(({ lines }) => lines[0]!.startsWith("Model"))!.lines.join("\n")
      assert.deepStrictEqual(lettersOf(trained), lettersOf(shownTraining))
      assert.strictEqual(/^Judged.*$/m.exec(trained)?.[0], /^Judged.*$/m.exec(shownTraining)?.[0])
      const status = [...outputs].find(([command]) => command.includes("status --url"))![1]
      assert.match(status, /16 active in the last 30 days, 16 in all/)

      const card = join(clone, "data-demo", "models", "AERO_SLM_card.html")
      const image = join(directory, "card.png")
      await screenshot(card, image, false)
      const picture = readPng(readFileSync(image))
      assert.deepInclude(picture, { width: 900, height: 5200 })
      assert.isAbove(picture.differentBytes, 100)
      if (process.env.MODEL_CARD_PICTURE !== undefined) {
        writeFileSync(join(directory, "picture.html"), pictureOf(card))
        await screenshot(join(directory, "picture.html"), image, false, "1400,800")
        copyFileSync(image, process.env.MODEL_CARD_PICTURE)
      }

      for (const { child, command, said } of background) {
        process.kill(-child.pid!, "SIGINT")
        await waitUntil(() => hasEnded(child), `${command} to stop`)
        assert.notMatch(said(), doubtful, command)
      }
    } finally {
      for (const { child } of background) if (!hasEnded(child)) process.kill(-child.pid!, "SIGKILL")
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
