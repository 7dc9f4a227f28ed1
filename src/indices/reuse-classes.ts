/** What is told apart when the chance of reuse is learned: how far the session is, how often a key was used, by how many. */
import type { Prospect } from './sessions.ts'

/** No session is known; then by its turns so far (1, 2, 3, 4 to 5, 6 to 9, 10 and more); and closed. */
const TURN_CLASSES = 8
const USE_CLASSES = 6
const REUSE_CLASSES = TURN_CLASSES * USE_CLASSES * 2

/** Groups of a class, from the narrowest to everything: where a class has seen little, the wider group speaks for it. */
export interface ReuseClass {
  readonly own: number
  readonly turns: number
  readonly all: number
}

/** Numbers below this name groups. */
export const REUSE_GROUPS = REUSE_CLASSES + TURN_CLASSES + 1

/** `uses`: how often the key was used, from 1. */
export function reuseClassOf(prospect: Prospect, uses: number): ReuseClass {
  const turns = turnClass(prospect)
  const isShared = prospect.kind === 'open' && prospect.openSessions > 1
  const own = (turns * USE_CLASSES + useClass(uses)) * 2 + (isShared ? 1 : 0)
  return { own, turns: REUSE_CLASSES + turns, all: REUSE_CLASSES + TURN_CLASSES }
}

function turnClass(prospect: Prospect): number {
  if (prospect.kind === 'unknown') return 0
  if (prospect.kind === 'closed') return TURN_CLASSES - 1
  const { turnsMax } = prospect
  if (turnsMax <= 3) return Math.max(1, turnsMax)
  return turnsMax <= 5 ? 4 : turnsMax <= 9 ? 5 : 6
}

/** Once, twice, 3 to 4 times, 5 to 8, 9 to 32, more often: the last are what everybody shares. */
function useClass(uses: number): number {
  if (uses <= 2) return uses - 1
  if (uses <= 4) return 2
  return uses <= 8 ? 3 : uses <= 32 ? 4 : 5
}
