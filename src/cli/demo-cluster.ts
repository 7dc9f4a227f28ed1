/** `membrane demo cluster`: three nodes in two datacentres, as processes of this machine, one of which is killed. */
import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { KILL_PHASE } from './demo-cluster-kill.ts'
import { ELSEWHERE_PHASE, JOIN_PHASE } from './demo-cluster-phases.ts'
import { REMOTE_PHASE } from './demo-cluster-remote.ts'
import { type ClusterWorld, withClusterWorld } from './demo-cluster-world.ts'
import { type PhaseOutcome, type PhaseResult, resultOf } from './demo-full-phase.ts'
import { wrapped, phaseText, verdictText } from './demo-full-print.ts'
import { withTemporaryFolder } from './demo-full-restart.ts'
import { heading, printJson, printText } from './print.ts'
import { type GlobalFlags, onRun } from './run-command.ts'

interface ClusterPhase {
  readonly name: string
  readonly title: string
  readonly run: (world: ClusterWorld) => Promise<PhaseOutcome>
}

/** The node that is killed stays dead: that phase comes last. */
const PHASES: readonly ClusterPhase[] = [JOIN_PHASE, ELSEWHERE_PHASE, REMOTE_PHASE, KILL_PHASE]

export function defineDemoCluster(command: Command): void {
  command.description(
    'three nodes in two datacentres: prompts computed and continued elsewhere, a node killed, nothing lost',
  )
  onRun<GlobalFlags>(command, async ({ json = false }) => {
    const startedMs = performance.now()
    const results: PhaseResult[] = []
    if (!json)
      printText(
        `${heading('Membrane as a cluster')}\n${wrapped('Three nodes of this machine, processes of their own, with the model that comes along.', '').join('\n')}\n`,
      )
    await withTemporaryFolder((folder) =>
      withClusterWorld(folder, async (world) => {
        for (const phase of PHASES) {
          const result = await runPhase(phase, world)
          results.push(result)
          if (!json) printText(`${phaseText(result, results.length)}\n`)
        }
      }),
    )
    const seconds = (performance.now() - startedMs) / 1000
    if (json) printJson({ phases: results, seconds })
    else printText(verdictText('cluster', results, seconds))
    if (!results.every(({ passed }) => passed)) process.exitCode = 1
  })
}

/** A phase that throws has failed; the others still run. */
async function runPhase(phase: ClusterPhase, world: ClusterWorld): Promise<PhaseResult> {
  try {
    return resultOf(phase, await phase.run(world))
  } catch (error) {
    if (!(error instanceof MembraneError)) throw error
    return resultOf(phase, { says: [], figures: {}, checks: [{ claim: `it runs: ${error.message}`, holds: false }] })
  }
}
