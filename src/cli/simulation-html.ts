import { commandText, documentMarkup, type Section } from './report-document.ts'
import { figureMarkup } from './report-figure.ts'
import { type Html, html } from './report-markup.ts'
import { assumptionsTable, warningsList } from './report-notes.ts'
import { loadRenderer, type Renderer } from './report-svg.ts'
import { cdfFigure } from './simulation-cdf.ts'
import { panelFigureMarkup } from './simulation-figure.ts'
import { kneeFigure } from './simulation-knee.ts'
import { leadSection } from './simulation-lead.ts'
import type { SimulationPage } from './simulation-page.ts'
import { SIMULATION_STYLE } from './simulation-style.ts'
import { latenciesTable, loadTable, setupTable, stagesTable } from './simulation-tables.ts'
import { timeFigure } from './simulation-time.ts'

/**
 * Simulations as one HTML document: nothing in it is loaded from anywhere, it holds no date, and the same input gives
 * the same bytes. However long the runs were, it stays below a megabyte or two. `page.runs` must not be empty.
 */
export async function simulationPage(page: SimulationPage): Promise<string> {
  return documentMarkup({
    title: `${page.title} · Membrane simulation`,
    kind: 'simulation',
    top: leadSection(page),
    sections: await sectionsOf(page, await loadRenderer()),
    footer:
      'Made by Membrane from the command above. Every request is simulated one by one; GPUs, links and traffic are modelled, not measured, unless an assumption says so.',
    style: SIMULATION_STYLE,
  })
}

async function sectionsOf(page: SimulationPage, render: Renderer): Promise<Section[]> {
  const { runs, knee, quoted, warnings, assumptions, command } = page
  const [cdf, time] = [cdfFigure(page), timeFigure(runs)]
  const hasKnee = knee !== null && knee.length > 1
  const left = [
    ...(hasKnee ? [] : ['No curve of latency against load: only one rate was simulated.']),
    ...(cdf === null ? ['No distributions: no request was observed.'] : []),
    ...(time === null ? ['No curves over time: no time series was recorded.'] : []),
    ...missingSeries(page, time !== null),
  ]
  return [
    ...(hasKnee ? [section('knee', 'Latency against load', [await figureMarkup(kneeFigure(knee, page), render)])] : []),
    section('latencies', 'Latencies', [
      latenciesTable(runs, quoted),
      ...(cdf === null ? [] : [await panelFigureMarkup(cdf, render)]),
    ]),
    ...(time === null ? [] : [section('time', 'Over time', [await panelFigureMarkup(time, render)])]),
    section('load', 'Load and stages', [loadTable(runs), stagesTable(runs)]),
    section('setup', 'What was simulated', [setupTable(runs)]),
    section('warnings', warnings.length === 0 ? 'Warnings' : `Warnings (${warnings.length})`, [warningsList(warnings)]),
    section('assumptions', 'Assumptions', [assumptionsTable(assumptions)]),
    ...(left.length === 0
      ? []
      : [section('left-out', 'Not on this page', [html`<ul>${left.map((text) => html`<li>${text}</li>`)}</ul>`])]),
    section('reproduce', 'Reproduce', [commandText(command, 'page')]),
  ]
}

function section(id: string, title: string, content: readonly Html[]): Section {
  return { id, title, content }
}

/** Runs that the figure over time does not show. */
function missingSeries({ runs }: SimulationPage, hasFigure: boolean): string[] {
  const without = runs.filter(({ curves }) => curves.series === null)
  return hasFigure && without.length > 0
    ? [`No curves over time of ${without.map(({ name }) => name).join(', ')}: no time series was recorded.`]
    : []
}
