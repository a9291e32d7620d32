import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/soak/**"],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    pool: "forks",
    // Many tests wait for clocks and processes: three workers for two cores.
    // Loading Effect costs every file a second of CPU; tests share no state but the modules.
    poolOptions: { forks: { minForks: 3, maxForks: 3, isolate: false } },
    // Of the tests' own processes: what the built programs run as child processes is not counted.
    coverage: { provider: "v8", include: ["src/**"], reporter: ["text", "json"], thresholds: { lines: 90 } }
  }
})
