/** What all groups of mutants have in common. Scores and survivors: docs/testing.md. */
export const group = (name, mutate) => {
  // For vitest.config.ts, which runs in the processes that Stryker starts.
  process.env.MUTATION_GROUP = name
  return {
    mutate,
    plugins: ["@stryker-mutator/vitest-runner"],
    testRunner: "vitest",
    vitest: { configFile: "test/mutation/vitest.config.ts" },
    coverageAnalysis: "perTest",
    // What is computed once while a module loads would need a new process per mutant.
    ignoreStatic: true,
    // Without .venv the tests that start Python are skipped; without dist none can start a program.
    ignorePatterns: [".venv", "dist", "data", "coverage", "docs", "bench", "biome.json"],
    concurrency: 1,
    timeoutMS: 5_000,
    thresholds: { high: 85, low: 75, break: 75 },
    reporters: ["clear-text", "html", "json", "progress-append-only"],
    clearTextReporter: { allowColor: false, reportTests: false },
    htmlReporter: { fileName: `reports/mutation/${name}.html` },
    jsonReporter: { fileName: `reports/mutation/${name}.json` }
  }
}
