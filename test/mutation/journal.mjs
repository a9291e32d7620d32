import { group } from "./group.mjs"

const store = [
  "Backlog",
  "BlockTable",
  "Erasures",
  "Intact",
  "Journal",
  "Salvage",
  "SqlitePages",
  "VictoriaMetricsUrls",
  "insertBlock"
]

export default group(
  "journal",
  store.map((name) => `src/store/${name}.ts`)
)
