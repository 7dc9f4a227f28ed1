/** What a fragment graph keeps, and for how long. */
import { MembraneError } from '../core/errors.ts'
import { EDGE_KINDS, type HalfLives } from './graph-edges.ts'

/** Bounds are whole numbers from 1. */
export interface GraphOptions {
  /** Default: only co-access decays, by half in 10 minutes. At least 1,000. */
  readonly halfLifeMs: HalfLives
  /** A key is linked with so many keys that follow it in the same access; default 4. */
  readonly coAccessWindow: number
  /** Edges of one kind at one key; beyond, the weakest of them leaves, which may be the new one. Default 64. */
  readonly degreeMax: number
  /** Edges of one kind in all; beyond, the weakest leaves. Default a million. */
  readonly edgesMax: number
  /** Keys; beyond, a new one is refused. Default two million. */
  readonly keysMax: number
}

/** What `FragmentGraph` takes where nothing else is said. */
export const DEFAULT_GRAPH_OPTIONS: GraphOptions = {
  // Assumed: five times the median time to a session's next turn in the Mooncake conversation trace, 2 minutes.
  halfLifeMs: { 'prefix-of': null, 'version-of': null, 'derived-from': null, 'co-accessed': 600_000 },
  coAccessWindow: 4,
  degreeMax: 64,
  edgesMax: 1_000_000,
  keysMax: 2_000_000,
}

/** Throws INVALID_CONFIG. */
export function checkGraphOptions({ halfLifeMs, coAccessWindow, degreeMax, edgesMax, keysMax }: GraphOptions): void {
  for (const kind of EDGE_KINDS) {
    const ms = halfLifeMs[kind]
    // A strength holds the time in half-lives: below a second, its digits no longer tell close weights apart.
    if (ms !== null && !(ms >= 1000 && Number.isFinite(ms))) {
      throw new MembraneError('INVALID_CONFIG', `A half-life is at least 1000 ms, found ${ms} for ${kind}.`)
    }
  }
  for (const [name, value] of Object.entries({ coAccessWindow, degreeMax, edgesMax, keysMax })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new MembraneError('INVALID_CONFIG', `${name} is a whole number from 1, found ${value}.`)
    }
  }
}
