/** The parts of docs/privacy*.md that come from the code; `npx vitest run -u test/privacyDocs.test.ts` writes them anew. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { sensorTable } from "../src/domain/SensorTable.js"
import { ByteBuffer } from "../src/pipeline/ByteBuffer.js"
import { submissionOf } from "../src/pipeline/Decode.js"
import { writeLines } from "../src/pipeline/Encode.js"
import { settings } from "../src/Settings.js"
import { recentPayload } from "./support/payloads.js"

/** The tags that a real client's nested batch is really stored with. */
const storedTags = () => {
  const submission = Effect.runSync(
    submissionOf(recentPayload("nested3"), Date.now(), 365 * 86_400_000, new ByteBuffer())
  )
  const buffer = new ByteBuffer()
  submission.sources.forEach((_, i) => {
    writeLines(buffer, submission, i)
  })
  const [series = ""] = buffer.written().toString().split(" ")
  return series
    .split(",")
    .slice(1)
    .map((tag) => tag.split("=")[0]!)
}

const meanings = {
  en: {
    installation_id: "the home's pseudonym",
    model: "model of the heat pump",
    version: "version of the logger",
    heatpump_id: "which heat pump of the home",
    manufacturer: "its maker",
    time: "time of the reading, to the millisecond",
    heading: "| stored | what it is |",
    sensors: (n: number) =>
      `${n} kinds of sensors, by the names that loggers send (\`{a..g}\` stands for each of them):`
  },
  de: {
    installation_id: "das Pseudonym des Hauses",
    model: "Modell der Wärmepumpe",
    version: "Version des Loggers",
    heatpump_id: "welche Wärmepumpe des Hauses",
    manufacturer: "ihr Hersteller",
    time: "Zeitpunkt der Messung, auf die Millisekunde",
    heading: "| gespeichert | was es ist |",
    sensors: (n: number) => `${n} Arten von Sensoren, unter den Namen der Logger (\`{a..g}\` steht für jeden davon):`
  }
} as const
type Language = keyof typeof meanings

const tagsPart = (language: Language) => {
  const words: Readonly<Record<string, unknown>> = meanings[language]
  const rows = [...storedTags(), "time"].map((tag) => {
    assert.isString(words[tag], `${tag} is stored and explained nowhere`)
    return `| \`${tag}\` | ${words[tag]} |`
  })
  const sensors = sensorTable.map(({ name, unit }) => `\`${name}\`${unit === null ? "" : ` (${unit})`}`).join(", ")
  return [
    meanings[language].heading,
    "| --- | --- |",
    ...rows,
    "",
    `<details><summary>${meanings[language].sensors(sensorTable.length).replaceAll("`", "")}</summary>`,
    "",
    sensors,
    "",
    "</details>"
  ].join("\n")
}

const relevant = /^(RETENTION_DAYS|INSTALLATION_|ADDRESS_|TRUSTED_PROXIES|ADMIN_TOKEN)/
const settingsPart = (language: Language) =>
  [
    language === "en" ? "| setting | default |" : "| Einstellung | Vorgabe |",
    "| --- | --- |",
    ...settings
      .filter(({ name }) => relevant.test(name))
      .map(({ fallback, name }) => `| \`${name}\` | ${fallback === "" ? "" : `\`${fallback}\``} |`)
  ].join("\n")

describe.each([
  ["en", "privacy.md"],
  ["de", "privacy.de.md"]
] as const)("docs in %s", (language, name) => {
  const file = fileURLToPath(new URL(`../docs/${name}`, import.meta.url))
  const text = readFileSync(file, "utf8")

  it("say of fields, limits and retention what the code does", async () => {
    const parts: Readonly<Record<string, string>> = { tags: tagsPart(language), settings: settingsPart(language) }
    let found = 0
    const fresh = text.replaceAll(/<!-- generated: (\w+) -->\n[\s\S]*?<!-- end -->/g, (_, part: string) => {
      found++
      return `<!-- generated: ${part} -->\n${parts[part]}\n<!-- end -->`
    })
    assert.strictEqual(found, 2)
    await expect(fresh).toMatchFileSnapshot(file)
  })
})
