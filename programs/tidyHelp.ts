import { stripVTControlCharacters } from "node:util"

/** What `@effect/cli` says of every option's type and origin, beside the option's own words: half of all lines. */
const noise = new Set([
  "A directory.",
  "A file.",
  "A true or false value.",
  "A user-defined piece of text that is confidential.",
  "A user-defined piece of text.",
  "An existing file.",
  "An integer.",
  "This option can be set from environment variables.",
  "This setting is optional."
])

const isMeaning = (line: string): boolean => /^ {2}\S/.test(line)
const isOption = (line: string): boolean => /^(--|\(-)/.test(stripVTControlCharacters(line))

/**
 * The help of one command as people read it: usage as it is typed, and an option's meaning below its name. `words` are
 * those of the command line before the first option. Any other text is left as it is.
 */
export const tidyHelp = (words: ReadonlyArray<string>, text: string): string => {
  const plain = stripVTControlCharacters(text)
  if (!plain.startsWith("telemetry\n") || !plain.includes("\nUSAGE\n")) return text
  const lines: Array<string> = []
  for (const line of text.split("\n").slice(2)) {
    const bare = stripVTControlCharacters(line)
    const isDoubled = bare.trim() === "" && lines.at(-1)?.trim() === ""
    if (isDoubled || noise.has(bare.trim())) continue
    if (isMeaning(bare) && lines.at(-1)?.trim() === "" && isOption(lines.at(-2) ?? "")) lines.pop()
    lines.push(line)
  }
  return lines
    .join("\n")
    .replace(`$ ${words.at(-1)}`, `$ telemetry ${words.join(" ")}`)
    .trimEnd()
}
