import { defineConfig } from "vitest/config"

/** Tests that take minutes; CI runs them after the others. */
export default defineConfig({ test: { include: ["test/soak/**/*.test.ts"], pool: "forks", testTimeout: 300_000 } })
