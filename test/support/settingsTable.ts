import { ConfigProvider, Effect } from "effect"
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

/** Reads settings from these alone. */
export const withSettings = <A, E, R>(values: Readonly<Record<string, string>>, effect: Effect.Effect<A, E, R>) =>
  Effect.withConfigProvider(effect, ConfigProvider.fromMap(new Map(Object.entries(values))))
