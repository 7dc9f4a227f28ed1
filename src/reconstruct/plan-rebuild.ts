/**
 * Which way each span of a prompt takes: a shortest path over the prompt, in which links and the engine work at the same
 * time. One file a step:
 *
 *   request ─▶ ways ─▶ needed ─▶ graph ─▶ search ─▶ plan, with reasons
 *
 * - `-ways` turns candidates and offers into *ways*: from one token to a later one, by a *place*, at so many seconds.
 *   `-columns` is how they are kept: a row each, because a long prompt has thousands. `-needed` leaves out what another
 *   way of the same place does as well.
 * - `-graph` puts the *nodes* where ways start and end, with the seconds that computing takes up to each.
 * - `-schedule` says when a *path* (nodes, and the way between each two, or computing) would be ready.
 * - `-path` finds the path whose seconds have the least sum: linear, and blind to what runs at the same time. Such *plain
 *   paths* are what the search starts from and is held against.
 * - `-search` picks the best: the plain paths, and what `-labels` finds. A *label* is one way of having come to a *stop*
 *   (a node that is looked at): ready at some time, with each place busy until some time; only labels that no other beats
 *   go on. `-legs` are what a label can be extended by: one way, or in long prompts what a plain path does from one stop
 *   to the next.
 * - `-reasons` writes the sentences, when they are read.
 *
 * Carrying a plan out is `rebuild-run.ts`. Why it is so, and what was tried: docs/decisions.md, "Rebuild: planning".
 */
import type { RebuildPlanRequest, PlanStep, RebuildPlan, RefusedCandidate } from './rebuild-plan.ts'
import { type RebuildGraph, rebuildGraph } from './plan-rebuild-graph.ts'
import { COMPUTED, type Path } from './plan-rebuild-path.ts'
import { PlanReasons } from './plan-rebuild-reasons.ts'
import { soonestPath } from './plan-rebuild-search.ts'

/**
 * Decides where the KV of each span of a prompt comes from, so that all of it is ready soonest: by the measured rates,
 * with reads under way while the engine computes, so that a hit that costs more than it saves is refused. Never later,
 * by its own estimate, than computing everything or than reading everything that can be read; of the sums of all seconds
 * the least is among the plans that are compared, and a mixture must gain 3 % on these three. A reason is written when it
 * is read: it is a getter, which JSON has and a copy by `...` has not.
 *
 * The last token is always computed. A candidate that `continuesAt: 'any'` may be entered and left at any block, and then
 * the share of its bytes is counted; it may serve two spans. Others, moved KV and offers are used from their first token
 * on; one that reaches the end of the prompt is left before its last token, unless it continues at its end only. An
 * offer does not say how it continues: beside candidates with `continuesAt: 'end'` one that reaches the prompt's end is
 * not used, so it is better asked for without the last block.
 *
 * A request whose spans are not of whole blocks of the prompt, or whose rates are no numbers, is a bug of the caller.
 */
export function planRebuild(request: RebuildPlanRequest): RebuildPlan {
  const graph = rebuildGraph(request)
  const { path, seconds } = soonestPath(graph)
  const reasons = new PlanReasons(request)
  const steps: PlanStep[] = []
  const isUsed = new Uint8Array(request.candidates.length)
  for (let k = 0; k < path.ways.length; k++) {
    const step = new PlannedStep(graph, { path, k }, reasons)
    if (step.index !== null && step.source !== 'remote-prefill') isUsed[step.index] = 1
    steps.push(step)
  }
  reasons.steps = steps
  return {
    steps,
    expectedSeconds: seconds,
    prefillAllSeconds: graph.prefillSeconds.at(-1) ?? 0,
    refused: refusals(graph, isUsed, reasons),
  }
}

/** Thousands of sentences would take longer than the plan, and few are read: each is written when it is. */
class PlannedStep implements PlanStep {
  readonly span: PlanStep['span']
  readonly source: PlanStep['source']
  readonly index: number | null
  readonly bytes: number
  readonly expectedSeconds: number
  readonly prefillSeconds: number
  readonly #reasons: PlanReasons

  constructor(graph: RebuildGraph, { path, k }: { readonly path: Path; readonly k: number }, reasons: PlanReasons) {
    const from = path.nodes[k] ?? 0
    const to = path.nodes[k + 1] ?? 0
    const way = path.ways[k] ?? COMPUTED
    const { tokens, ways, request } = graph
    const start = tokens[from] ?? 0
    const end = tokens[to] ?? 0
    const number = way === COMPUTED ? -1 : (ways.index[way] ?? 0)
    const candidate = request.candidates[number]
    const wayTokens = (ways.endTokens[way] ?? 0) - (ways.startTokens[way] ?? 0)
    this.span = { start, end }
    this.source = way === COMPUTED ? 'prefill' : candidate === undefined ? 'remote-prefill' : candidate.source
    this.index = way === COMPUTED ? null : candidate === undefined ? number - request.candidates.length : number
    this.bytes = candidate === undefined ? 0 : Math.ceil((candidate.bytes * (end - start)) / wayTokens)
    this.prefillSeconds = (graph.prefillSeconds[to] ?? 0) - (graph.prefillSeconds[from] ?? 0)
    this.expectedSeconds =
      way === COMPUTED
        ? this.prefillSeconds
        : (ways.startUpSeconds[ways.place[way] ?? 0] ?? 0) +
          (ways.fixedSeconds[way] ?? 0) +
          (ways.secondsPerToken[way] ?? 0) * (end - start) +
          (ways.computeSeconds[way] ?? 0)
    this.#reasons = reasons
  }

  get reason(): string {
    return this.#reasons.ofStep(this)
  }

  toJSON(): PlanStep {
    const { span, source, index, bytes, expectedSeconds, prefillSeconds, reason } = this
    return { span, source, index, bytes, expectedSeconds, prefillSeconds, reason }
  }
}

class Refusal implements RefusedCandidate {
  readonly index: number
  readonly #reasons: PlanReasons

  constructor(index: number, reasons: PlanReasons) {
    this.index = index
    this.#reasons = reasons
  }

  get reason(): string {
    return this.#reasons.ofRefused(this.index)
  }

  toJSON(): RefusedCandidate {
    return { index: this.index, reason: this.reason }
  }
}

function refusals(graph: RebuildGraph, isUsed: Uint8Array, reasons: PlanReasons): RefusedCandidate[] {
  const known = new Map(graph.refused.map((refusal) => [refusal.index, refusal]))
  const refused: RefusedCandidate[] = []
  for (let index = 0; index < isUsed.length; index++)
    if (isUsed[index] === 0) refused.push(known.get(index) ?? new Refusal(index, reasons))
  return refused
}
