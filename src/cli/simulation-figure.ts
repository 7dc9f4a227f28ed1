import type { TopLevelSpec } from 'vega-lite'
import { type Html, html, trusted } from './report-markup.ts'
import type { ChartSize, Frame, Renderer } from './report-svg.ts'

/** Several small charts under one title, legend and caption. */

export interface Panel {
  readonly id: string
  readonly name: string
  readonly unit: string
  /** What a reader who does not see it should know. */
  readonly text: string
  readonly chart: (size: ChartSize) => TopLevelSpec
}

export interface PanelFigure {
  readonly id: string
  readonly title: string
  readonly legend: Html
  readonly panels: readonly Panel[]
  /** A frame for each size of screen, or one for all. */
  readonly frames: Readonly<Record<ChartSize, Frame>> | Frame
  readonly caption: Html
  readonly numbers: Html
}

/** Pixels for the numbers of a y axis, which has no title: the panel's name says it. */
const PANEL_LEFT = 46

export async function panelFigureMarkup(figure: PanelFigure, render: Renderer): Promise<Html> {
  const { id, title, legend, panels, caption, numbers, frames } = figure
  const all = await Promise.all(panels.map((panel) => panelMarkup(panel, frames, render)))
  return html`<figure id="${id}" aria-labelledby="${id}-title">
<h3 id="${id}-title">${title}</h3>
${legend}
<div class="panels${'width' in frames ? ' small' : ''}">
${all}</div>
<figcaption>${caption}</figcaption>
<details><summary>Numbers of this figure</summary>
${numbers}
</details>
</figure>`
}

async function panelMarkup(
  { id, name, unit, text, chart }: Panel,
  frames: PanelFigure['frames'],
  render: Renderer,
): Promise<Html> {
  const common = { id, text, left: PANEL_LEFT }
  const pictures =
    'width' in frames
      ? [await render({ ...common, size: 'every', frame: frames, spec: chart('narrow') })]
      : await Promise.all(
          (['wide', 'narrow'] as const).map((size) =>
            render({ ...common, size, frame: frames[size], spec: chart(size) }),
          ),
        )
  return html`<div>
<p class="name">${name}<span>, ${unit}</span></p>
${trusted(pictures.join('\n'))}
</div>
`
}
