/** The commands of the documents, as they are written, with the built program. */
import { execFile } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, it } from "@effect/vitest"
import { blocksOf, isDeployment, isDoneElsewhere } from "../support/documentedCommands.js"
import { commandsOf, documents, root } from "../support/markdown.js"
import { mainFile, startServer } from "../support/program.js"

const run = promisify(execFile)

/** A directory with `data` of a fresh server in it, and a PATH on which the program is. */
const makeDesk = () => {
  const directory = mkdtempSync(join(tmpdir(), "telemetry-documents-"))
  const bin = join(directory, "bin")
  const desk = join(directory, "desk")
  mkdirSync(bin)
  mkdirSync(desk)
  for (const name of ["dist", "docs", "package.json"]) symlinkSync(join(root, name), join(desk, name))
  // The real npx is a stranger's (test/soak); it costs half a second per command.
  const programs = { telemetry: `exec "${process.execPath}" "${mainFile}" "$@"`, npx: 'exec "$@"' }
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  return { directory, desk, path: `${bin}:${process.env.PATH}` }
}

/** What an earlier document has shown to work need not run again, unless later commands live on what it does. */
const executed = new Set<string>()
const isWorthRunning = (command: string) =>
  !isDoneElsewhere(command) && (command.startsWith("curl") || !executed.has(command))

const executable = documents.filter(
  (document) =>
    !isDeployment(document) &&
    blocksOf(document, "bash")
      .flatMap(commandsOf)
      .some((c) => !isDoneElsewhere(c))
)

it.each(executable)("%s: its commands run as written, in order", async (document) => {
  const { desk, directory, path } = makeDesk()
  const server = await startServer({ DATA_DIR: join(desk, "data"), AUTH_TOKEN: "" })
  try {
    const env = { PATH: path, HOME: directory, NO_COLOR: "1", PORT: new URL(server.url).port }
    for (const block of blocksOf(document, "bash")) {
      const commands = commandsOf(block).filter(isWorthRunning)
      if (commands.length === 0) continue
      const script = commands.join("\n").replaceAll("http://127.0.0.1:8000", server.url)
      const { stdout } = await run("bash", ["--norc", "-euo", "pipefail", "-c", script], { cwd: desk, env }).catch(
        (error) => {
          throw new Error(`${document}: ${script}\n${error.stdout}${error.stderr}`)
        }
      )
      if (script.startsWith("curl")) {
        assert.deepInclude(JSON.parse(stdout), { status: "success", processed: 1, rejected: 0, fields_dropped: 0 })
      }
      for (const command of commands) executed.add(command)
    }
  } finally {
    await server.stop("SIGTERM")
    rmSync(directory, { recursive: true })
  }
})
