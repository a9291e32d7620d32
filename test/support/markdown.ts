/** The documents as tests read them: fenced blocks, links, anchors. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Fence {
  /** What stands behind the opening backticks. */
  readonly info: string
  readonly lines: ReadonlyArray<string>
}

/** Paths from the top, sorted. */
export const documents: ReadonlyArray<string> = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name))
].sort()

export const readDocument = (document: string): string => readFileSync(join(root, document), "utf8")

/** A fence may be indented, within a list. */
export const fencesOf = (text: string): ReadonlyArray<Fence> =>
  [...text.matchAll(/^( *)```(\w*)\n([\s\S]*?)^\1```$/gm)].map(([, indent, info, body]) => ({
    info: info!,
    lines: body!
      .replace(/\n$/, "")
      .split("\n")
      .map((line) => line.slice(indent!.length))
  }))

const withoutFences = (text: string) => text.replaceAll(/^( *)```[\s\S]*?^\1```$/gm, "")

/** Inline code, outside of fences. */
export const inlineCodeOf = (text: string): ReadonlyArray<string> =>
  [...withoutFences(text).matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!)

const linksOf = (text: string): ReadonlyArray<string> =>
  [...withoutFences(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!)

/** As GitHub makes them of headings. */
const anchorsOf = (text: string): ReadonlySet<string> =>
  new Set(
    [...withoutFences(text).matchAll(/^#{1,6} +(.+)$/gm)].map(([, heading]) =>
      heading!
        .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-")
    )
  )

/** Links of a document that lead nowhere within this repository. */
export const brokenLinks = (document: string): ReadonlyArray<string> => {
  const text = readDocument(document)
  return linksOf(text).filter((link) => {
    if (/^[a-z]+:/.test(link)) return false
    const [path = "", anchor] = link.split("#")
    const target = path === "" ? join(root, document) : resolve(root, dirname(document), path)
    if (relative(root, target).startsWith("..") || !existsSync(target)) return true
    if (anchor === undefined) return false
    return !anchorsOf(readFileSync(target, "utf8")).has(anchor)
  })
}

/** A block's commands, with lines that go on joined and comments left out. */
export const commandsOf = ({ lines }: Fence): ReadonlyArray<string> => {
  const commands: Array<string> = []
  let isOpen = false
  for (const line of lines) {
    if (isOpen) commands.push(`${commands.pop()}\n${line}`)
    else if (line.trim() !== "" && !line.startsWith("#")) commands.push(line.replace(/ +# .*$/, ""))
    const command = commands.at(-1) ?? ""
    isOpen = command.endsWith("\\") || (command.match(/'/g) ?? []).length % 2 === 1
  }
  return commands
}
