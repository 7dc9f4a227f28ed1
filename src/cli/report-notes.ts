import type { Assumption } from '../planner/assumptions.ts'
import { type Html, html } from './report-markup.ts'
import { table } from './report-table.ts'

/** What an answer rests on, and what to beware of. */

export function assumptionsTable(assumptions: readonly Assumption[]): Html {
  return table({
    caption: html`What the numbers rest on, and where each piece comes from: read in the paper, measured on hardware, inferred from either, or assumed.`,
    columns: [{ name: 'Assumption' }, { name: 'Origin' }, { name: 'Statement' }, { name: 'Reason' }],
    rows: assumptions.map(({ id, origin, statement, reason }) => [
      html`<code>${id}</code>`,
      html`<span class="badge ${origin}">${origin}</span>`,
      statement,
      reason,
    ]),
    isStacked: true,
  })
}

export function warningsList(warnings: readonly string[]): Html {
  if (warnings.length === 0)
    return html`<p>None: every prompt length lies within the measured range of its profile.</p>`
  return html`<ul class="warnings">${warnings.map((warning) => html`<li>${warning}</li>\n`)}</ul>`
}
