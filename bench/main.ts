/** `npm run bench [NAME …]`: every figure beside its floor or peer, measured in the same run. */
import { readFileSync, writeFileSync } from "node:fs"
import { run as backlog } from "./backlog.js"
import { run as body } from "./body.js"
import { run as commit } from "./commit.js"
import { run as community } from "./community.js"
import { run as database } from "./database.js"
import { run as evaluation } from "./evaluation.js"
import { run as memory } from "./memory.js"
import { run as pipeline } from "./pipeline.js"
import { run as scale } from "./scale.js"
import { machine, type Result } from "./support.js"
import { run as train } from "./train.js"
import { run as trees } from "./trees.js"

const benchmarks: Readonly<Record<string, () => Promise<Result>>> = {
  pipeline,
  body,
  commit,
  memory,
  database,
  backlog,
  scale,
  trees,
  train,
  evaluation,
  community
}
const asked = process.argv.slice(2)
const file = "bench/results.json"
/** Of runs before, by name: a run of some leaves the others as they are. */
const results: Record<string, Result & { readonly date: string }> = JSON.parse(readFileSync(file, "utf8")).results

for (const [name, run] of Object.entries(benchmarks)) {
  if (asked.length > 0 && !asked.includes(name)) continue
  const result = await run()
  results[name] = { date: new Date().toISOString().slice(0, 10), ...result }
  process.stdout.write(`\n${result.question}\nTarget: ${result.target}\n`)
  // biome-ignore lint/suspicious/noConsole: its table is what a person came to see.
  console.table(result.rows)
  const inOrder = Object.fromEntries(
    Object.keys(benchmarks).flatMap((key) => (key in results ? [[key, results[key]]] : []))
  )
  writeFileSync(file, `${JSON.stringify({ machine: machine(), results: inOrder }, null, 2)}\n`)
}
