import type { InputSpec, Pool, Scenario } from '../planner/scenario.ts'
import { type Html, html } from './report-markup.ts'
import { percent, short, whole } from './report-numbers.ts'
import { sloText } from './report-verdict.ts'

/** What the answer is an answer to: hardware, link, traffic, SLO and prices. */
export function questionList(scenario: Scenario): Html {
  const { remote, local, link, spec, decode } = scenario
  const hits = spec.workload.prefixHitRatio ?? 0
  const rows: readonly (readonly [string, string])[] = [
    ['Remote cluster', poolText(remote)],
    ['Local cluster', poolText(local)],
    [
      'Decode',
      `${whole(scenario.decodeBatch.batch)} sequences a batch of at most ${whole(decode.batchMax)}, ${short(scenario.decodeBatch.stepSeconds * 1000)} ms a step`,
    ],
    ['Baseline', `${whole(scenario.homogeneousInstances)} local instances`],
    ['Link', `${short(link.gbps)} Gbps (10⁹ bit/s)`],
    ['Prompts', `${inputText(spec.workload.input)}; mean ${whole(scenario.promptTokensMean)} tokens`],
    ['Prefix hits', hits > 0 ? `${percent(hits)} of every prompt` : 'none'],
    ['Output', `${short(scenario.outputTokens)} tokens on average`],
    [
      'Arrivals',
      scenario.burstiness === 1
        ? 'Poisson'
        : `squared coefficient of variation ${short(scenario.burstiness)} (Poisson is 1)`,
    ],
    ['SLO', sloText(scenario) === '' ? 'none given' : sloText(scenario)],
    ['Prices', pricesText(scenario)],
  ]
  return html`<dl class="question">
${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>\n`)}</dl>`
}

function poolText({ profile: { data }, instances }: Pool): string {
  return `${whole(instances)} instances of ${data.hardware}, ${data.model} (profile ${data.name})`
}

function inputText(input: InputSpec): string {
  switch (input.kind) {
    case 'log-normal':
      return `log-normal, mu ${short(input.mu)}, sigma ${short(input.sigma)}, from ${whole(input.minTokens)} to ${whole(input.maxTokens)} tokens`
    case 'fixed':
      return `all of ${whole(input.tokens)} tokens`
    case 'samples':
      return `${whole(input.tokens.length)} measured lengths from ${input.source}`
    case 'mixture':
      return `a mixture of ${input.components.length} kinds`
    default:
      return input satisfies never
  }
}

function pricesText({ remote, local, link }: Scenario): string {
  const parts = [
    ...(remote.pricePerGpuHour === null ? [] : [`${short(remote.pricePerGpuHour)} a remote GPU hour`]),
    ...(local.pricePerGpuHour === null ? [] : [`${short(local.pricePerGpuHour)} a local GPU hour`]),
    ...(link.pricePerGigabyte === null ? [] : [`${short(link.pricePerGigabyte)} a gigabyte of egress`]),
  ]
  return parts.length === 0 ? 'none given' : parts.join(', ')
}
