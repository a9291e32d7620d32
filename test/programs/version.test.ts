import { assert, it } from "@effect/vitest"
import manifest from "../../package.json" with { type: "json" }
import { version } from "../../programs/version.js"

it("the program has the version of its package", () => {
  assert.strictEqual(version, manifest.version)
})
