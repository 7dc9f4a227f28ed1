import { createHash } from 'node:crypto'
import type { Analysis } from '../planner/analysis.ts'
import type { Scenario } from '../planner/scenario.ts'
import { figures } from './report-figures.ts'
import { type Html, html, trusted } from './report-markup.ts'
import { questionList } from './report-question.ts'
import { REPORT_STYLE } from './report-style.ts'
import { loadRenderer } from './report-svg.ts'
import {
  alternativesTable,
  assumptionsTable,
  costTable,
  deploymentsTable,
  egressTable,
  stagesTable,
  variantsTable,
  warningsList,
} from './report-tables.ts'
import { REPORT_SCRIPT } from './report-theme.ts'
import { verdictSection } from './report-verdict.ts'

export interface ReportInput {
  readonly scenario: Scenario
  readonly analysis: Analysis
  /** The command line that gives the same report again. */
  readonly command: string
}

/**
 * A plan as one HTML document, to be sent around and opened years later: nothing in it is loaded from anywhere, it
 * holds no date, and the same input gives the same bytes.
 */
export async function renderReport({ scenario, analysis, command }: ReportInput): Promise<string> {
  const pictures = await figures(scenario, analysis, await loadRenderer())
  const sections = sectionsOf({ scenario, analysis, command }, pictures)
  const { headline } = analysis.verdict
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy()}">
<title>${headline}: ${scenario.name} · Membrane report</title>
<link rel="icon" href="data:,">
<style>${trusted(REPORT_STYLE)}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the answer</a>
<header>
<p class="brand">Membrane <span>planner report</span></p>
<button type="button" id="theme" hidden>Dark theme</button>
</header>
<main id="main">
${verdictSection(scenario, analysis)}
<nav aria-label="Contents"><ul>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
${sections.map(sectionMarkup)}
</main>
<footer><p>Made by Membrane from the command above. GPUs, links and traffic are modelled, not measured, unless an assumption says so.</p></footer>
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

interface Section {
  readonly id: string
  readonly title: string
  readonly content: readonly Html[]
}

function sectionMarkup({ id, title, content }: Section): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
${content}
</section>
`
}

function sectionsOf({ scenario, analysis, command }: ReportInput, pictures: readonly Html[]): Section[] {
  const { warnings } = analysis.optimization
  const cost = costTable(analysis)
  const alternatives =
    analysis.alternatives.length === 0
      ? html`<p>There is no other way to share out the local instances.</p>`
      : alternativesTable(analysis)
  return [
    { id: 'deployments', title: 'Three deployments', content: [deploymentsTable(analysis)] },
    { id: 'figures', title: 'Why: four figures', content: [html`<div class="pair">${pictures}</div>`] },
    { id: 'margins', title: 'Slack and failures', content: [pair([stagesTable(analysis), variantsTable(analysis)])] },
    { id: 'alternatives', title: 'Alternatives', content: [alternatives] },
    {
      id: 'cost',
      title: cost === null ? 'Egress' : 'Egress and cost',
      content: [pair([egressTable(analysis), ...(cost === null ? [] : [cost])])],
    },
    { id: 'question', title: 'What was asked', content: [questionList(scenario)] },
    {
      id: 'warnings',
      title: warnings.length === 0 ? 'Warnings' : `Warnings (${warnings.length})`,
      content: [warningsList(analysis)],
    },
    { id: 'assumptions', title: 'Assumptions', content: [assumptionsTable(analysis)] },
    { id: 'reproduce', title: 'Reproduce', content: [commandText(command)] },
  ]
}

function pair(contents: readonly Html[]): Html {
  return html`<div class="pair">${contents.map((content) => html`<div>${content}</div>`)}</div>`
}

function commandText(command: string): Html {
  return html`<p>This command gives the same report again:</p><pre tabindex="0" aria-label="Command"><code>${command}</code></pre>`
}
