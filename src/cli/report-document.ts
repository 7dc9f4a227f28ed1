import { createHash } from 'node:crypto'
import { type Html, html, trusted } from './report-markup.ts'
import { REPORT_STYLE } from './report-style.ts'
import { REPORT_SCRIPT } from './report-theme.ts'

/** What every page is put together from: head, contents, sections. */

export interface Document {
  readonly title: string
  /** Beside the name of the program. */
  readonly kind: string
  /** Before the contents: what the answer is. */
  readonly top: Html
  readonly sections: readonly Section[]
  readonly footer: string
  /** After the common style. */
  readonly style?: string
}

export interface Section {
  readonly id: string
  readonly title: string
  readonly content: readonly Html[]
}

/** One HTML document. Nothing in it is loaded from anywhere. */
export function documentMarkup({ title, kind, top, sections, footer, style = '' }: Document): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy()}">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${trusted(REPORT_STYLE + style)}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the answer</a>
<header>
<p class="brand">Membrane <span>${kind}</span></p>
<button type="button" id="theme" hidden>Dark theme</button>
</header>
<main id="main">
${top}
<nav aria-label="Contents"><ul>${sections.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>`)}</ul></nav>
${sections.map(sectionMarkup)}
</main>
<footer><p>${footer}</p></footer>
<script>${trusted(REPORT_SCRIPT)}</script>
</body>
</html>
`
  return page.markup
}

/** Whatever slips into the page, only this program's own script runs, and nothing is fetched. */
function policy(): string {
  const scriptHash = createHash('sha256').update(REPORT_SCRIPT).digest('base64')
  return `default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-${scriptHash}'; base-uri 'none'; form-action 'none'`
}

function sectionMarkup({ id, title, content }: Section): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
${content}
</section>
`
}

/** Beside each other where there is room. */
export function pair(contents: readonly Html[]): Html {
  return html`<div class="pair">${contents.map((content) => html`<div>${content}</div>`)}</div>`
}

export function commandText(command: string, what: string): Html {
  return html`<p>This command gives the same ${what} again:</p><pre tabindex="0" aria-label="Command"><code>${command}</code></pre>`
}
