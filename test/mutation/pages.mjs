import { group } from "./group.mjs"

/** By its own tests alone, without the repairs that build on it: those take seconds per mutant. */
export default group("pages", ["src/store/SqlitePages.ts"])
