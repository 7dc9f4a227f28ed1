/** Metrics as Prometheus reads them, written by prom-client: a registry of its own for each scrape, so that no caller sees another's series. */
import { Counter, Gauge, Registry } from 'prom-client'
import type { Caller } from '../server/caller.ts'
import type { Observation, ObserveOperations } from '../server/observe-operations.ts'
import { type DurationSeries, durationsOf, metricsOf, REQUEST_DURATION } from '../server/node-metrics.ts'

interface MetricsText {
  readonly text: string
  readonly contentType: string
}

/** Scrapes that come in one segment are answered with one text, or a pipeline of them would keep everybody else waiting. */
export class MetricsTexts {
  readonly #observe: ObserveOperations
  /** By what the caller may see. */
  readonly #underWay = new Map<string | null, Promise<MetricsText>>()

  constructor(observe: ObserveOperations) {
    this.#observe = observe
  }

  /** One that is under way when the request comes, or a new one: what is written already is given to nobody else. Throws FORBIDDEN and RATE_LIMITED. */
  async textFor(caller: Caller): Promise<MetricsText> {
    const view = this.#observe.viewOf(caller)
    const shared = this.#underWay.get(view)
    if (shared !== undefined) return shared
    const writing = metricsText(this.#observe.numbersOf(view))
    this.#underWay.set(view, writing)
    try {
      return await writing
    } finally {
      this.#underWay.delete(view)
    }
  }
}

async function metricsText(observation: Observation): Promise<MetricsText> {
  const registry = new Registry()
  for (const { name, help, type, labels, samples } of metricsOf(observation)) {
    const configuration = { name, help, labelNames: [...labels], registers: [registry] }
    if (type === 'gauge') {
      const gauge = new Gauge(configuration)
      for (const sample of samples) gauge.set(sample.labels, sample.value)
    } else {
      const counter = new Counter(configuration)
      for (const sample of samples) counter.inc(sample.labels, sample.value)
    }
  }
  const durations = durationsOf(observation)
  const text = await registry.metrics()
  return { text: durations.length === 0 ? text : text + histogramText(durations), contentType: registry.contentType }
}

/** prom-client's histograms take observations one by one; these were counted where they happened. */
function histogramText(series: readonly DurationSeries[]): string {
  const { name, help } = REQUEST_DURATION
  const lines = series.flatMap(({ labels: { door, route }, buckets, requests, seconds }) => {
    const labels = `door="${escaped(door)}",route="${escaped(route)}"`
    return [
      ...buckets.map(
        ([bound, count]) => `${name}_bucket{${labels},le="${bound === Infinity ? '+Inf' : bound}"} ${count}`,
      ),
      `${name}_sum{${labels}} ${seconds}`,
      `${name}_count{${labels}} ${requests}`,
    ]
  })
  return `\n# HELP ${name} ${help}\n# TYPE ${name} histogram\n${lines.join('\n')}\n`
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
