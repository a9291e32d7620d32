import { version } from "./version.js"

/** In the order in which one comes to need them. A test holds the names against the commands that there are. */
const commands = {
  serve: "receive and keep telemetry until stopped",
  status: "how things stand",
  train: "make a model of one heat pump type, or of all",
  models: "what is published: list, publish, rollback",
  keygen: "make the keys that models are published with",
  installations: "list the homes whose data are stored",
  export: "write all data of one home",
  erase: "erase all data of one home, for ever",
  resend: "send again what the database refused",
  backup: "write store, models and erasures into one file, also while serving",
  restore: "put a backup back",
  doctor: "what is wrong, and what to do about it",
  healthcheck: "whether the server lives, for supervisors"
}

/** What `telemetry` says when it is asked for nothing: `@effect/cli` would print every option, 400 columns wide. */
export const overview = [
  `telemetry ${version}: receives, keeps and uses the telemetry of heat pumps.`,
  "",
  ...Object.entries(commands).map(([name, purpose]) => `  ${name.padEnd(15)}${purpose}`),
  "",
  "Example: telemetry serve --host 0.0.0.0 --port 8000",
  "Example: telemetry status --json",
  'Example: telemetry train --model "AERO SLM" --output model.pkl',
  "",
  "telemetry COMMAND --help explains its options; telemetry --completions bash prints completions (also fish, zsh)."
].join("\n")
