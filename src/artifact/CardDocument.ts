/** A document of a few kinds of blocks, as Markdown and as one HTML page that needs nothing from elsewhere. */

export type Block =
  | { readonly kind: "heading"; readonly text: string }
  | { readonly kind: "paragraph"; readonly text: string }
  | { readonly kind: "list"; readonly items: ReadonlyArray<string> }
  | {
      readonly kind: "table"
      readonly head: ReadonlyArray<string>
      readonly rows: ReadonlyArray<ReadonlyArray<string>>
    }
  | {
      readonly kind: "figure"
      readonly title: string
      readonly svg: string
      readonly caption: string
      /** Colour (a CSS value) and what it stands for. */
      readonly legend: ReadonlyArray<readonly [colour: string, meaning: string]>
    }

const escapeCell = (text: string) => text.replaceAll("|", "\\|")

export const toMarkdown = (title: string, blocks: ReadonlyArray<Block>): string => {
  const line = (cells: ReadonlyArray<string>) => `| ${cells.map(escapeCell).join(" | ")} |`
  const parts: Array<string> = []
  for (const block of blocks) {
    switch (block.kind) {
      case "heading":
        parts.push(`## ${block.text}`)
        break
      case "paragraph":
        parts.push(block.text)
        break
      case "list":
        parts.push(block.items.map((item) => `* ${item}`).join("\n"))
        break
      case "table":
        parts.push([line(block.head), line(block.head.map(() => "---")), ...block.rows.map(line)].join("\n"))
        break
      case "figure":
        // Plots are in the HTML page.
        break
    }
  }
  return `${[`# ${title}`, ...parts].join("\n\n")}\n`
}

const escapeHtml = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

const htmlOf = (block: Block): string => {
  switch (block.kind) {
    case "heading":
      return `<h2>${escapeHtml(block.text)}</h2>`
    case "paragraph":
      return `<p>${escapeHtml(block.text)}</p>`
    case "list":
      return `<ul>${block.items.map((item) => `<li>${escapeHtml(item)}</li>`).join("")}</ul>`
    case "table": {
      const row = (tag: "th" | "td", cells: ReadonlyArray<string>) =>
        `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`
      return `<div class="wide"><table><thead>${row("th", block.head)}</thead><tbody>${block.rows.map((cells) => row("td", cells)).join("")}</tbody></table></div>`
    }
    case "figure": {
      const legend = block.legend
        .map(([colour, meaning]) => `<span><i style="background:${colour}"></i>${escapeHtml(meaning)}</span>`)
        .join("")
      return `<figure><h3>${escapeHtml(block.title)}</h3>${legend === "" ? "" : `<p class="legend">${legend}</p>`}<div class="wide">${block.svg}</div><figcaption>${escapeHtml(block.caption)}</figcaption></figure>`
    }
  }
}

const style = `:root{color-scheme:light dark;--ground:#fff;--ink:#1c2430;--soft:#5b6675;--line:#d9dee5;--first:#2563c9;--second:#c2410c;--third:#15803d;--fourth:#7e3fb3;--fifth:#8a6d00}
@media(prefers-color-scheme:dark){:root{--ground:#12161c;--ink:#e6eaf0;--soft:#9aa6b5;--line:#333c48;--first:#7aaeff;--second:#ff9a5c;--third:#5fd38a;--fourth:#cf9bff;--fifth:#e6c34a}}
body{background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.2rem}h3{font-size:1rem;margin:0 0 .3rem}
body>p:first-of-type{font-size:1.15rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}th,td{text-align:left;padding:.25rem .7rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top;font-variant-numeric:tabular-nums}
figure{margin:1.8rem 0}figcaption,.legend{color:var(--soft);font-size:.9rem}.legend{margin:.2rem 0}.legend span{margin-right:1.2rem}.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em}
svg{max-width:100%;height:auto}`

export const toHtml = (title: string, blocks: ReadonlyArray<Block>): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${blocks.map(htmlOf).join("\n")}
</body>
</html>
`
