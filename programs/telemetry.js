#!/usr/bin/env node
// What "bin" names must be here before the first build: npx links it once, and who called it too early would hear
// "telemetry: not found" in this directory ever after.
import { existsSync } from "node:fs"

const program = new URL("../dist/programs/main.js", import.meta.url)
if (existsSync(program)) {
  await import(program.href)
} else {
  process.stderr.write(
    "error: not built yet; npm start builds it and starts the server, npm run build only builds it\n"
  )
  process.exitCode = 1
}
