import { group } from "./group.mjs"

const repair = ["Intact", "Salvage"]

export default group(
  "repair",
  repair.map((name) => `src/store/${name}.ts`)
)
