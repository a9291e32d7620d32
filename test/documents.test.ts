/** What the documents say is there is there; test/soak/documents runs their commands. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { blocksOf, elsewhere, isDeployment, strangersCommands } from "./support/documentedCommands.js"
import { brokenLinks, commandsOf, documents, fencesOf, inlineCodeOf, readDocument, root } from "./support/markdown.js"
import { runProgram, startServer } from "./support/program.js"
import { settingsTable } from "./support/settingsTable.js"

describe("documents", () => {
  it.each(documents)("%s has no link that leads nowhere", (document) => {
    assert.deepStrictEqual(brokenLinks(document), [])
  })

  it.each(documents.filter((document) => !isDeployment(document)))(
    "%s shows no command that is not run",
    (document) => {
      for (const fence of fencesOf(readDocument(document))) {
        assert.notStrictEqual(fence.info, "", `a fence of unknown kind: ${fence.lines[0]}`)
        if (fence.info === "console") {
          for (const command of commandsOf(fence)) {
            assert.isTrue(
              elsewhere.some(([pattern]) => pattern.test(command)),
              `${command} could be run: make it a bash block`
            )
          }
        } else if (fence.info !== "bash") {
          for (const line of fence.lines) assert.notMatch(line, /^(npm|npx|telemetry|curl|docker|node|git) /)
        }
      }
    }
  )

  it("their inline commands exist, with every option", async () => {
    const { stdout } = await runProgram(["--completions", "bash"])
    const options = new Map(
      [...stdout.matchAll(/^ +(telemetry(?:__\w+)*)\)\n +opts="([^"]*)"/gm)].map(([, name, words]) => [
        name!,
        new Set(words!.split(" "))
      ])
    )
    const topmost = [...options.keys()].filter((name) => name.split("__").length === 2).map((name) => name.slice(11))
    const overview = await runProgram([])
    const named = [...overview.stdout.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name)
    assert.sameMembers(named, topmost)
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
    for (const document of documents) {
      for (const code of inlineCodeOf(readDocument(document))) {
        const [, script] = /^npm run ([\w:]+)/.exec(code) ?? []
        if (script !== undefined) assert.property(scripts, script, document)
        const [, rest] = /^(?:npx )?telemetry ([a-z].*)$/.exec(code) ?? []
        if (rest === undefined) continue
        const words = rest.split(" ")
        let name = "telemetry"
        while (options.has(`${name}__${words[0]}`)) name = `${name}__${words.shift()}`
        assert.notStrictEqual(name, "telemetry", `${document}: ${code}`)
        for (const word of words.filter((word) => word.startsWith("--") && word !== "--help")) {
          assert.isTrue(options.get(name)!.has(word), `${document}: ${code} has no ${word}`)
        }
      }
    }
  })
})

describe("README.md", () => {
  const readme = readDocument("README.md")
  const commands = blocksOf("README.md", "bash").flatMap(commandsOf)

  it("opens with the two commands", () => {
    assert.strictEqual(commands[0], "npm ci && npm start")
    assert.include(commands, "npm ci && npm test")
  })

  it("lists every setting with its default and meaning", () => {
    assert.include(readme, settingsTable())
  })

  it("has every command that is left to a stranger, and names the reason for every dependency", () => {
    for (const command of strangersCommands) assert.include(commands, command)
    const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
    const table = readme.slice(readme.indexOf("| dependency | reason |"))
    for (const name of Object.keys({ ...dependencies, ...devDependencies })) {
      if (!name.startsWith("@types/")) assert.include(table, `\`${name}\``)
    }
  })

  it("shows what status says", async () => {
    const directory = mkdtempSync(join(tmpdir(), "telemetry-readme-"))
    const server = await startServer({ DATA_DIR: directory, AUTH_TOKEN: "" })
    try {
      const { stdout } = await runProgram(["status", "--url", server.url], { DATA_DIR: directory })
      const labels = (text: string) => text.match(/^[A-Z][a-z ]+(?= {2})/gm)
      const shown = blocksOf("README.md", "text").find(({ lines }) => lines[0]!.startsWith("Server"))!
      assert.deepStrictEqual(labels(stdout), labels(shown.lines.join("\n")))
    } finally {
      await server.stop("SIGTERM")
      rmSync(directory, { recursive: true })
    }
  })
})
