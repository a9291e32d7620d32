import { group } from "./group.mjs"

const store = ["BlockTable", "Erasures", "Journal", "VictoriaMetricsUrls", "insertBlock"]

export default group(
  "journal",
  store.map((name) => `src/store/${name}.ts`)
)
