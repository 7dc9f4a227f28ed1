import type { Analysis } from '../planner/analysis.ts'
import type { Scenario } from '../planner/scenario.ts'
import { commandText, documentMarkup, pair, type Section } from './report-document.ts'
import { figures } from './report-figures.ts'
import type { ReportLoad } from './report-load.ts'
import { LOAD_STYLE, loadSection } from './report-load-section.ts'
import { type Html, html } from './report-markup.ts'
import { assumptionsTable, warningsList } from './report-notes.ts'
import { questionList } from './report-question.ts'
import { loadRenderer } from './report-svg.ts'
import {
  alternativesTable,
  costTable,
  deploymentsTable,
  egressTable,
  stagesTable,
  variantsTable,
} from './report-tables.ts'
import { verdictSection } from './report-verdict.ts'

export interface ReportInput {
  readonly scenario: Scenario
  readonly analysis: Analysis
  /** What a simulation of the plan says; left out by default. */
  readonly load?: ReportLoad
  /** The command line that gives the same report again. */
  readonly command: string
}

/**
 * A plan as one HTML document, to be sent around and opened years later: nothing in it is loaded from anywhere, it
 * holds no date, and the same input gives the same bytes.
 */
export async function renderReport(input: ReportInput): Promise<string> {
  const { scenario, analysis } = input
  const render = await loadRenderer()
  const load = input.load ?? { kind: 'left-out' }
  const pictures = await figures(scenario, analysis, render)
  const underLoad = await loadSection(scenario, load, render)
  return documentMarkup({
    title: `${analysis.verdict.headline}: ${scenario.name} · Membrane report`,
    kind: 'planner report',
    top: verdictSection(scenario, analysis),
    sections: sectionsOf({ ...input, load }, { pictures, underLoad }),
    footer:
      'Made by Membrane from the command above. GPUs, links and traffic are modelled, not measured, unless an assumption says so.',
    style: LOAD_STYLE,
  })
}

function sectionsOf(
  { scenario, analysis, command, load }: Required<ReportInput>,
  { pictures, underLoad }: { readonly pictures: readonly Html[]; readonly underLoad: Section },
): Section[] {
  const { warnings } = analysis.optimization
  const assumptions = [...analysis.optimization.assumptions, ...(load.kind === 'simulated' ? load.assumptions : [])]
  const cost = costTable(analysis)
  const alternatives =
    analysis.alternatives.length === 0
      ? html`<p>There is no other way to share out the local instances.</p>`
      : alternativesTable(analysis)
  return [
    { id: 'deployments', title: 'Three deployments', content: [deploymentsTable(analysis)] },
    { id: 'figures', title: 'Why: four figures', content: [html`<div class="pair">${pictures}</div>`] },
    underLoad,
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
      content: [warningsList(warnings)],
    },
    { id: 'assumptions', title: 'Assumptions', content: [assumptionsTable(assumptions)] },
    { id: 'reproduce', title: 'Reproduce', content: [commandText(command, 'report')] },
  ]
}
