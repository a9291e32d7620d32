import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/soak/**"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
    // Many tests wait for clocks and processes; one worker per core but one would leave two cores idle.
    poolOptions: { forks: { minForks: 1, maxForks: 2 } }
  }
})
