import { expect } from 'vitest'
import type { PoolName, TimedEvent } from '../src/planner/sim-options.ts'
import type { Simulation } from '../src/planner/simulate.ts'

/** What tests of losses say and wait for. */
export function lose(atSeconds: number, pool: PoolName, instances: number): TimedEvent {
  return { kind: 'lose', atSeconds, pool, instances }
}

export function restore(atSeconds: number, pool: PoolName, instances: number): TimedEvent {
  return { kind: 'restore', atSeconds, pool, instances }
}

/** Runs until something holds, event by event. */
export function runUntil(simulation: Simulation, isReached: () => boolean): void {
  while (!isReached()) {
    expect(simulation.isDone).toBe(false)
    simulation.run(1)
  }
}
