import { readFileSync } from "node:fs"

export const deploymentGuide = (name: "deployment.md" | "deployment.de.md"): string =>
  readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8")

/** What stands between fences, in order, each with the heading that it stands under; indentation of lists taken away. */
export const codeBlocks = (text: string): ReadonlyArray<{ readonly heading: string; readonly code: string }> => {
  let heading = ""
  return Array.from(text.matchAll(/^## (.+)$|^( *)```\n([\s\S]*?)\n *```$/gm)).flatMap(([, title, indent, code]) => {
    heading = title ?? heading
    return code === undefined ? [] : [{ heading, code: code.replaceAll(new RegExp(`^${indent}`, "gm"), "") }]
  })
}
