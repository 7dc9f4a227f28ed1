/**
 * Leaves out what another candidate of the same place does at least as well, and the dearest where very many overlap:
 * a search looks at all ways over a boundary, so their number there is bounded.
 */
import { LIMITS } from '../core/limits.ts'
import { pickWays, type Ways } from './plan-rebuild-columns.ts'
import type { RebuildPlanRequest, RefusedCandidate } from './rebuild-plan.ts'

const COVERED = 'Another candidate from the same place covers it and costs no more.'
const TOO_MANY = `${LIMITS.planOverlapMax} other candidates cover its beginning and cost less a token.`

/** The ways that are needed, ascending by start; why the others are not goes to `refused`. */
export function keepNeeded(ways: Ways, request: RebuildPlanRequest, refused: RefusedCandidate[]): Ways {
  const rows = byStart(ways, request)
  const isNeedless = new Uint8Array(rows.length)
  const leaveOut = (row: number, reason: string): void => {
    isNeedless[row] = 1
    refused.push({ index: ways.index[row] ?? 0, reason })
  }
  const open: number[] = []
  for (const row of rows) {
    if (ways.isCuttable[row] === 0) continue
    dropEnded(open, ways, ways.startTokens[row] ?? 0)
    if (open.some((other) => isAsGood(ways, other, row))) {
      leaveOut(row, COVERED)
      continue
    }
    for (let k = open.length - 1; k >= 0; k--) {
      const other = open[k] ?? 0
      if (!isAsGood(ways, row, other)) continue
      leaveOut(other, COVERED)
      open.splice(k, 1)
    }
    open.push(row)
    if (open.length <= LIMITS.planOverlapMax) continue
    const dearest = open.reduce((most, other) => (perToken(ways, other) > perToken(ways, most) ? other : most))
    leaveOut(dearest, TOO_MANY)
    open.splice(open.indexOf(dearest), 1)
  }
  return pickWays(ways, isNeedless.includes(1) ? rows.filter((row) => isNeedless[row] === 0) : rows)
}

/** A counting sort: starts are blocks. */
function byStart({ startTokens, index }: Ways, { promptTokens, blockTokens }: RebuildPlanRequest): Int32Array {
  const offsets = new Int32Array(Math.floor(promptTokens / blockTokens) + 2)
  for (let row = 0; row < index.length; row++) {
    const block = (startTokens[row] ?? 0) / blockTokens
    offsets[block + 1] = (offsets[block + 1] ?? 0) + 1
  }
  for (let block = 1; block < offsets.length; block++)
    offsets[block] = (offsets[block] ?? 0) + (offsets[block - 1] ?? 0)
  const rows = new Int32Array(index.length)
  for (let row = 0; row < index.length; row++) {
    const block = (startTokens[row] ?? 0) / blockTokens
    const at = offsets[block] ?? 0
    offsets[block] = at + 1
    rows[at] = row
  }
  return rows
}

function dropEnded(open: number[], { endTokens }: Ways, tokens: number): void {
  for (let k = open.length - 1; k >= 0; k--) {
    if ((endTokens[open[k] ?? 0] ?? 0) > tokens) continue
    open[k] = open.at(-1) ?? 0
    open.pop()
  }
}

function isAsGood(ways: Ways, a: number, b: number): boolean {
  return (
    ways.place[a] === ways.place[b] &&
    (ways.startTokens[a] ?? 0) <= (ways.startTokens[b] ?? 0) &&
    (ways.endTokens[a] ?? 0) >= (ways.endTokens[b] ?? 0) &&
    (ways.fixedSeconds[a] ?? 0) <= (ways.fixedSeconds[b] ?? 0) &&
    (ways.secondsPerToken[a] ?? 0) <= (ways.secondsPerToken[b] ?? 0)
  )
}

function perToken(ways: Ways, row: number): number {
  const tokens = (ways.endTokens[row] ?? 0) - (ways.startTokens[row] ?? 0)
  return (ways.secondsPerToken[row] ?? 0) + (ways.fixedSeconds[row] ?? 0) / tokens
}
