/** `.github/workflows/train.yml`, its steps run here: GitHub's part is played by `gh`, and the database has no data. */
import { execFile } from "node:child_process"
import { once } from "node:events"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { Schema } from "effect"
import { root } from "../support/markdown.js"
import { describeWithPython, runPython } from "../support/python.js"
import { requirePart } from "../support/realParts.js"

const run = promisify(execFile)
const workflow = join(root, ".github/workflows/train.yml")
const Workflow = Schema.Struct({
  permissions: Schema.Record({ key: Schema.String, value: Schema.String }),
  jobs: Schema.Struct({
    train: Schema.Struct({
      steps: Schema.Array(Schema.Struct({ id: Schema.optional(Schema.String), run: Schema.optional(Schema.String) }))
    })
  })
})
const hasJq = requirePart(
  await run("jq", ["--version"]).then(
    () => true,
    () => false
  ),
  "jq",
  "apt-get install jq"
)

/** Answers the question for artifacts from a file, and puts a model and a refused one's card where it is told. */
const gh = `#!/usr/bin/env bash
set -eu
echo "$*" >> gh.log
case "$1 $2" in
  "api --method") jq -r "\${@: -1}" artifacts.json ;;
  "run download") mkdir -p trained && echo "of run $3" > trained/model.pkl && touch trained/model_refused_card.md ;;
  *) exit 1 ;;
esac
`

const directory = mkdtempSync(join(tmpdir(), "telemetry-workflow-"))
afterAll(() => rmSync(directory, { recursive: true }))

describeWithPython(".github/workflows/train.yml", () => {
  let read: typeof Workflow.Type
  beforeAll(async () => {
    const [parsed] = await runPython<ReadonlyArray<unknown>>("yaml_json.py", workflow)
    read = Schema.decodeUnknownSync(Workflow)(parsed)
  })

  /** A step in a checkout of its own, by the shell that GitHub uses. */
  const checkout = (artifacts: ReadonlyArray<unknown>) => {
    const place = mkdtempSync(join(directory, "checkout-"))
    writeFileSync(join(place, "artifacts.json"), JSON.stringify({ artifacts }))
    mkdirSync(join(place, "bin"))
    writeFileSync(join(place, "bin", "gh"), gh, { mode: 0o755 })
    symlinkSync(join(root, "dist"), join(place, "dist"))
    const runStep = (id: string, environment: Readonly<Record<string, string>> = {}) =>
      run("bash", ["-e", "-c", read.jobs.train.steps.find((step) => step.id === id)!.run!], {
        cwd: place,
        env: {
          PATH: `${join(place, "bin")}:${process.env.PATH}`,
          MODEL: "AERO SLM",
          GITHUB_REPOSITORY: "owner/name",
          GITHUB_REF_NAME: "main",
          GITHUB_OUTPUT: join(place, "output"),
          GITHUB_STEP_SUMMARY: join(place, "summary.md"),
          ...environment
        }
      })
    return { place, runStep }
  }

  it("follows the schema of GitHub's workflows, and may write nothing", async () => {
    await run(join(root, ".venv/bin/check-jsonschema"), ["--builtin-schema", "vendor.github-workflows", workflow])
    assert.deepStrictEqual(read.permissions, { actions: "read", contents: "read" })
  })

  it.skipIf(!hasJq)("compares with the newest model of the same branch that is still there", async () => {
    const artifact = (id: number, branch: string, expired = false) => ({
      id,
      expired,
      workflow_run: { id: 100 + id, head_branch: branch }
    })
    const { place, runStep } = checkout([
      artifact(2, "main"),
      artifact(5, "other"),
      artifact(3, "main"),
      artifact(4, "main", true)
    ])
    await runStep("before")
    assert.strictEqual(readFileSync(join(place, "trained/model.pkl"), "utf8"), "of run 103\n")
    assert.deepStrictEqual(readdirSync(join(place, "trained")), ["model.pkl"])
    assert.strictEqual(readFileSync(join(place, "output"), "utf8"), "artifact=model-AERO_SLM\n")
    assert.include(
      readFileSync(join(place, "gh.log"), "utf8"),
      "api --method GET repos/owner/name/actions/artifacts -f name=model-AERO_SLM "
    )

    const first = checkout([])
    const { stdout } = await first.runStep("before")
    assert.include(stdout, "no earlier model of AERO SLM")
    assert.isFalse(existsSync(join(first.place, "trained")))
  })

  it("says in the run's summary what is missing, and does not fail for it", async () => {
    const database = createServer((_, response) => response.end('{"status":"success","data":[]}')).listen(
      0,
      "127.0.0.1"
    )
    await once(database, "listening")
    const address = database.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    try {
      const { place, runStep } = checkout([])
      const { stdout } = await runStep("train", { VM_EXPORT_URL: `http://127.0.0.1:${port}`, VM_BEARER_TOKEN: "" })
      assert.include(stdout, "::notice::No new model")
      assert.match(
        readFileSync(join(place, "summary.md"), "utf8"),
        /^### No model of AERO_SLM\n[\s\S]*\| Missing \| there are no data of AERO_SLM in .*\|\n$/
      )
    } finally {
      database.closeAllConnections()
      database.close()
    }
  })
})
