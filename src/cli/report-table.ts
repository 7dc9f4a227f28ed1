import { type Html, html, NOTHING } from './report-markup.ts'

/** One table of the report, its cells escaped, its headers said to be headers. */

export interface Table {
  readonly caption: Html
  readonly columns: readonly Column[]
  /** The first cell of a row names it. */
  readonly rows: readonly (readonly (Html | string)[])[]
  /** Rows become cards on a phone: for tables of sentences. */
  readonly isStacked?: boolean
}

export interface Column {
  readonly name: Html | string
  /** Numbers are set to the right, below each other. */
  readonly isNumber?: boolean
}

export function table({ caption, columns, rows, isStacked = false }: Table): Html {
  // Cards lose the meaning of a table in browsers unless it is said again.
  const role = (name: string): Html => (isStacked ? html` role="${name}"` : NOTHING)
  const head = columns.map(
    ({ name, isNumber }) =>
      html`<th scope="col"${role('columnheader')}${isNumber === true ? html` class="number"` : NOTHING}>${name}</th>`,
  )
  const body = rows.map(
    (cells) =>
      html`<tr${role('row')}>${cells.map((cell, k) => cellOf(cell, columns[k], { isFirst: k === 0, role }))}</tr>\n`,
  )
  const markup = html`<table${isStacked ? html` class="stacked"` : NOTHING}${role('table')}><caption><span>${caption}</span></caption>
<thead${role('rowgroup')}><tr${role('row')}>${head}</tr></thead>
<tbody${role('rowgroup')}>
${body}</tbody></table>`
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Table, scrolls sideways where it is wider than the screen">${markup}</div>`
}

function cellOf(
  cell: Html | string,
  column: Column | undefined,
  { isFirst, role }: { readonly isFirst: boolean; readonly role: (name: string) => Html },
): Html {
  const kind = column?.isNumber === true ? html` class="number"` : NOTHING
  return isFirst
    ? html`<th scope="row"${role('rowheader')}${kind}>${cell}</th>`
    : html`<td${role('cell')}${kind}>${cell}</td>`
}

/** A quantity that does not exist here. */
export const ABSENT: Html = html`<span class="absent" title="not applicable">–</span>`
