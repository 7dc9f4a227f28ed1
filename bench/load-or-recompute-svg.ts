/** The measured curves as a picture for the documents. */
import type { TopLevelSpec } from 'vega-lite'

export interface Curve {
  readonly name: string
  readonly color: string
  /** Megabytes a second, and milliseconds. */
  readonly points: readonly { readonly x: number; readonly y: number }[]
}

export async function curvesSvg(curves: readonly Curve[]): Promise<string> {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')])
  const spec: TopLevelSpec = {
    width: 560,
    height: 300,
    background: 'white',
    data: { values: curves.flatMap(({ name, points }) => points.map((point) => ({ name, ...point }))) },
    mark: { type: 'line', point: true },
    encoding: {
      x: { field: 'x', type: 'quantitative', scale: { type: 'log', nice: false }, title: 'speed of the link, MB/s' },
      y: { field: 'y', type: 'quantitative', scale: { type: 'log' }, title: 'until the prompt is ready, ms' },
      color: {
        field: 'name',
        title: null,
        scale: { domain: curves.map(({ name }) => name), range: curves.map(({ color }) => color) },
      },
    },
  }
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' })
  try {
    return `${await view.toSVG()}\n`
  } finally {
    view.finalize()
  }
}
