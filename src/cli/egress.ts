import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { gbpsFromBytesPerSecond } from '../core/units.ts'
import { preset } from '../planner/presets.ts'
import { kvRateBytesPerSecond, type ProfileData } from '../planner/profile.ts'
import { minimumEgressBytesPerSecond } from '../planner/throughput.ts'
import { figure, heading, printJson, printText } from './print.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { number, whole } from './numbers.ts'
import { loadScenario } from './scenario-load.ts'

interface EgressFlags extends GlobalFlags {
  readonly preset?: string
  readonly profile?: string
  readonly tokens: number
  readonly gpus?: number
}

/** Equations (1) and (2): what a prefill cluster puts on the wire. Rates are all they need, so rate-only presets work here. */
export function defineEgress(command: Command): void {
  command
    .description('KV rate of one instance and the bandwidth a prefill cluster needs, equations (1) and (2)')
    .option('-p, --preset <name>', 'take the remote profile of a preset')
    .option('--profile <name|file>', 'take this profile')
    .requiredOption('--tokens <n>', 'mean uncached length of the offloaded prompts', number)
    .option('--gpus <n>', 'GPUs of the prefill cluster (default: one instance)', whole)
  onRun<EgressFlags>(command, async (flags) => {
    const profile = await chosenProfile(flags)
    const gpus = flags.gpus ?? profile.gpusPerInstance
    if (gpus < 1) throw new MembraneError('INVALID_REQUEST', '--gpus must be at least 1.')
    const kvBytesPerSecond = kvRateBytesPerSecond(profile, flags.tokens)
    const egress = minimumEgressBytesPerSecond({ gpus, gpusPerInstance: profile.gpusPerInstance, kvBytesPerSecond })
    const answer = {
      profile: profile.name,
      tokens: flags.tokens,
      kvGbpsPerInstance: gbpsFromBytesPerSecond(kvBytesPerSecond),
      gpus,
      gpusPerInstance: profile.gpusPerInstance,
      egressGbps: gbpsFromBytesPerSecond(egress),
      source: profile.source,
    }
    if (flags.json === true) printJson(answer)
    else printText(egressText(answer, profile))
  })
}

async function chosenProfile({ preset: name, profile }: EgressFlags): Promise<ProfileData> {
  if ((name === undefined) === (profile === undefined)) {
    throw new MembraneError('INVALID_REQUEST', 'Name one profile: --preset NAME or --profile NAME or FILE.')
  }
  if (name !== undefined) return preset(name).remote.profile
  return (await loadScenario({ remoteProfile: profile ?? '' })).spec.remote.profile
}

function egressText(
  answer: {
    readonly tokens: number
    readonly kvGbpsPerInstance: number
    readonly gpus: number
    readonly gpusPerInstance: number
    readonly egressGbps: number
  },
  profile: ProfileData,
): string {
  const { gpus, gpusPerInstance } = answer
  return [
    `${heading(`${figure(answer.egressGbps)} Gbps`)} keep ${gpus} GPUs (${figure(gpus / gpusPerInstance)} x ${gpusPerInstance}) busy prefilling ${profile.model} at ${figure(answer.tokens)} tokens:`,
    `one instance (${profile.hardware}) makes ${figure(answer.kvGbpsPerInstance)} Gbps of KV cache. Source: ${profile.source}.`,
  ].join('\n')
}
