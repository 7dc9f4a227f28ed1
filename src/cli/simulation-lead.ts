import { type Html, html } from './report-markup.ts'
import { percent, short, significant } from './report-numbers.ts'
import { tile, tileList } from './report-tiles.ts'
import type { SimulationPage } from './simulation-page.ts'
import { plusMinus } from './simulation-tables.ts'

/** The top of the page: what came out, before how. */
export function leadSection(page: SimulationPage): Html {
  const [first] = page.runs
  const verdict = first?.result.verdict ?? 'stable'
  return html`<section class="verdict ${verdict}" aria-labelledby="verdict">
<h1 id="verdict">${page.title}</h1>
${page.lead.map((sentence) => html`<p class="lead">${sentence}</p>\n`)}
${page.runs.length > 1 ? html`<p class="of">The numbers of <strong>${first?.name ?? ''}</strong>:</p>` : html``}
${tileList(tiles(page))}
</section>`
}

function tiles({ runs, quoted, sloTtftSecondsP90 }: SimulationPage): Html[] {
  const [first] = runs
  if (first === undefined) return []
  const { result, options } = first
  const { ttftSeconds, firstTokenSeconds, tpotSeconds } = result
  const bounds = [
    ...(sloTtftSecondsP90 === null
      ? []
      : [`${ttftSeconds.p90 <= sloTtftSecondsP90 ? 'meets' : 'misses'} the SLO of ${short(sloTtftSecondsP90)}\u00a0s`]),
    ...(quoted === null ? [] : [`quoted without queueing: ${significant(quoted.ttftSecondsP90)}\u00a0s`]),
  ]
  const isOwnRate = options.workload?.kind === 'trace'
  return [
    tile(
      'P90 TTFT',
      plusMinus(ttftSeconds.p90, ttftSeconds.p90HalfWidth95),
      's',
      bounds.length > 0 ? bounds.join('; ') : `mean ${significant(ttftSeconds.mean)}\u00a0s`,
    ),
    tile(
      'P90 first token',
      plusMinus(firstTokenSeconds.p90, firstTokenSeconds.p90HalfWidth95),
      's',
      `then ${significant(tpotSeconds.mean * 1000)}\u00a0ms a token`,
    ),
    tile(
      'Completed',
      significant(result.completedRps),
      'req/s',
      isOwnRate
        ? 'while requests arrived'
        : `of ${significant(options.rateRps)}\u00a0req/s that arrive; ${result.verdict}`,
    ),
    tile('Offloaded', percent(result.offloadedRatio), '', 'of all requests'),
    tile('Egress', significant(result.egressGbps), 'Gbps', 'mean over the run'),
  ]
}
