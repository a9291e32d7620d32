import { settings } from "../../src/Settings.js"

/** The table of settings as the README shows it. */
export const settingsTable = (): string =>
  [
    "| setting | default | meaning |",
    "| --- | --- | --- |",
    ...settings.map(
      ({ name, fallback, meaning }) => `| \`${name}\` | ${fallback === "" ? "" : `\`${fallback}\``} | ${meaning} |`
    )
  ].join("\n")
