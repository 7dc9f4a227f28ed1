import { type Html, html } from './report-markup.ts'

/** The few numbers that stand large at the top of a page. */

/** More than this many in one row leave no room for their notes. */
const TILES_IN_A_ROW = 5

export function tileList(all: readonly Html[]): Html {
  const columns = all.length <= TILES_IN_A_ROW ? all.length : Math.ceil(all.length / 2)
  return html`<dl class="tiles" style="--columns:${columns}">
${all}</dl>`
}

export function tile(name: Html | string, value: Html | string, unit: string, note: Html | string): Html {
  return html`<div><dt>${name}</dt><dd><strong>${value}</strong> ${unit}</dd><dd class="note">${note}</dd></div>\n`
}
