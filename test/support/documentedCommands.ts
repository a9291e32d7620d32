/** Where the commands of the documents are executed that `test/soak/documents.test.ts` does not execute itself. */
import { fencesOf, readDocument } from "./markdown.js"

/** By `test/soak/stranger.test.ts`, which goes through README.md from a fresh clone. */
export const strangersCommands: ReadonlySet<string> = new Set([
  "npm ci && npm start",
  "npm run demo",
  "npx telemetry status --url http://127.0.0.1:8001 --data-dir data-demo",
  'npx telemetry train --model "AERO SLM" --data-dir data-demo',
  "(umask 077; npx telemetry keygen > keys.env)",
  "set -a; . ./keys.env; set +a",
  "npx telemetry models publish --file data-demo/models/AERO_SLM.pkl --data-dir data-demo",
  "npx telemetry models list --data-dir data-demo"
])

/** By `.ci/run`, of which these tests are a part. */
export const pipelinesCommands: ReadonlySet<string> = new Set([
  "npm ci && npm test",
  "npm run check",
  "npm run test:soak",
  "python3 -m venv .venv",
  ".venv/bin/pip install -r test/python/requirements.txt"
])

/** By nobody, with the reason. */
export const unexecuted: ReadonlyMap<string, string> = new Map([
  ["npx vitest run test/pipeline/Encode.test.ts", "a test within a test; npm test runs the same file"],
  ["npx vitest run -u test/privacyDocs.test.ts", "writes into docs"],
  ["npm run bench", "half an hour"],
  ["npm run bench pipeline", "measures, which means nothing beside tests"],
  ["npm run format", "writes into src"]
])

/** Of `console` blocks: what needs Docker, another machine or root. */
export const elsewhere: ReadonlyArray<readonly [RegExp, string]> = [
  [/^docker /, "needs Docker"],
  [/^(apt-get|ufw|systemctl|timedatectl) /, "needs root"],
  [/^git (clone|pull)/, "needs the network"]
]

/** Their commands are those of a whole machine, as root and with Docker. */
export const isDeployment = (document: string) => /^docs\/deployment/.test(document)
export const isDoneElsewhere = (command: string) =>
  strangersCommands.has(command) || pipelinesCommands.has(command) || unexecuted.has(command)
export const blocksOf = (document: string, info: string) =>
  fencesOf(readDocument(document)).filter((fence) => fence.info === info)
