/**
 * A prompt as a graph: its nodes are the boundaries of what could be reused, its ways lead from one node to a later
 * one. Columns, because a long prompt has thousands of both, and linear in candidates and blocks.
 */
import { assert } from '../core/errors.ts'
import type { Ways } from './plan-rebuild-columns.ts'
import { waysOf } from './plan-rebuild-ways.ts'
import type { RebuildPlanRequest, RebuildRates, RefusedCandidate } from './rebuild-plan.ts'

/**
 * Nodes that are added evenly between boundaries, so that a long candidate can be read from its middle while what is
 * before is computed: a step of one in 64 costs such a plan less than 2 % of its time.
 */
const INNER_NODES = 64

/** What a block's beginning may be. */
const BOUNDARY = 1
const INNER = 2

/** What a plan is searched in. */
export interface RebuildGraph {
  readonly request: RebuildPlanRequest
  /** Tokens before each node: from 0 to all of them, ascending. */
  readonly tokens: Float64Array
  /** Whether a way starts or ends there: what is not may be where reading begins, but not where it ends. */
  readonly isBoundary: Uint8Array
  /** Seconds to compute all tokens before each node. */
  readonly prefillSeconds: Float64Array
  readonly ways: Ways
  /** The nodes where each way starts and ends. */
  readonly startNode: Int32Array
  readonly endNode: Int32Array
  /** Candidates that no plan can use, or need. */
  readonly refused: readonly RefusedCandidate[]
}

export function rebuildGraph(request: RebuildPlanRequest): RebuildGraph {
  const { promptTokens, blockTokens } = request
  assert(Number.isSafeInteger(promptTokens) && promptTokens >= 1, `a prompt has tokens, not ${promptTokens}`)
  assert(Number.isSafeInteger(blockTokens) && blockTokens >= 1, `a block has tokens, not ${blockTokens}`)
  assert(request.parallelReads >= 1, `one read at a time is the least, not ${request.parallelReads}`)
  const { ways, refused } = waysOf(request)
  const { tokens, isBoundary, nodeOf } = nodesOf(request, ways)
  return {
    request,
    tokens,
    isBoundary,
    prefillSeconds: prefillSums(tokens, request.rates),
    ways,
    startNode: mapped(ways.startTokens, nodeOf),
    endNode: mapped(ways.endTokens, nodeOf),
    refused,
  }
}

interface Nodes {
  readonly tokens: Float64Array
  readonly isBoundary: Uint8Array
  readonly nodeOf: (tokens: number) => number
}

/** All ends of ways lie between blocks, but for one that stops before the last token. */
function nodesOf({ promptTokens, blockTokens }: RebuildPlanRequest, ways: Ways): Nodes {
  const blocks = Math.floor((promptTokens - 1) / blockTokens)
  const kinds = new Uint8Array(blocks + 1)
  kinds[0] = BOUNDARY
  let hasLastToken = false
  for (let way = 0; way < ways.index.length; way++) {
    kinds[(ways.startTokens[way] ?? 0) / blockTokens] = BOUNDARY
    const end = (ways.endTokens[way] ?? 0) / blockTokens
    if (Number.isInteger(end)) kinds[end] = BOUNDARY
    else hasLastToken = true
  }
  if (ways.isCuttable.includes(1)) {
    const stride = Math.max(1, Math.ceil(blocks / INNER_NODES))
    for (let block = 0; block <= blocks; block += stride) kinds[block] ||= INNER
  }
  const numbers = new Int32Array(blocks + 1)
  const tokens = new Float64Array(blocks + 3)
  const isBoundary = new Uint8Array(blocks + 3).fill(1)
  let count = 0
  for (let block = 0; block <= blocks; block++) {
    const kind = kinds[block] ?? 0
    if (kind === 0) continue
    numbers[block] = count
    isBoundary[count] = Number(kind === BOUNDARY)
    tokens[count++] = block * blockTokens
  }
  const lastToken = hasLastToken ? count : 0
  if (hasLastToken) tokens[count++] = promptTokens - 1
  tokens[count++] = promptTokens
  return {
    tokens: tokens.slice(0, count),
    isBoundary: isBoundary.slice(0, count),
    // Of what is not between blocks there is one only.
    nodeOf: (position) => numbers[position / blockTokens] ?? lastToken,
  }
}

/** `Int32Array.from` takes ten times as long. */
function mapped(values: Float64Array, numberOf: (value: number) => number): Int32Array {
  const numbers = new Int32Array(values.length)
  for (let k = 0; k < values.length; k++) numbers[k] = numberOf(values[k] ?? 0)
  return numbers
}

function prefillSums(tokens: Float64Array, rates: RebuildRates): Float64Array {
  const sums = new Float64Array(tokens.length)
  for (let node = 1; node < tokens.length; node++) {
    const span = { start: tokens[node - 1] ?? 0, end: tokens[node] ?? 0 }
    const seconds = rates.prefillSeconds(span)
    // The message is written only when it is needed: thousands of them would take longer than the plan.
    if (!(seconds >= 0 && seconds < Infinity)) assert(false, `computing takes a time, not ${seconds} s`)
    sums[node] = (sums[node - 1] ?? 0) + seconds
  }
  return sums
}
