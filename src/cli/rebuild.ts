import type { Command } from 'commander'
import { withInterrupt } from './interrupt.ts'
import { addNodeFlags, engineOf, type NodeFlags, type OpenedNode, reuseOf, withNode } from './node-flags.ts'
import { printJson, printText, printWarnings } from './print.ts'
import { columnsOf, explainText, secondsText } from './print-generation.ts'
import { addPromptFlags, promptOf, type PromptFlags } from './prompt-flags.ts'
import { onRun } from './run-command.ts'
import { bytesText, fragmentsText } from './units.ts'

type RebuildFlags = NodeFlags & PromptFlags

export function defineRebuild(command: Command): void {
  addPromptFlags(
    command.description("make a prompt's KV ready, computing only what is missing, and keep what was computed"),
  )
  addNodeFlags(command)
  onRun<RebuildFlags>(command, async (flags) => {
    const text = await promptOf(flags)
    const ready = async (opened: OpenedNode, signal: AbortSignal): Promise<void> => {
      const session = flags.session ?? null
      const reuse = reuseOf(flags)
      const request = { tenant: opened.tenant, prompt: { text }, session, reuse, signal, wantsKvHash: true }
      const { stored, plan, ...rebuilt } = await engineOf(opened).rebuild(request)
      if (stored.error !== null) printWarnings([`Not all that was computed could be kept: ${stored.error.message}`])
      const { loadSeconds } = opened
      if (flags.json === true) {
        const { fragments, bytes, refused } = stored
        const { expectedSeconds, prefillAllSeconds } = plan
        printJson({
          ...rebuilt,
          expectedSeconds,
          prefillAllSeconds,
          stored: { fragments, bytes, refused },
          loadSeconds,
        })
        return
      }
      const { promptTokens, reusedTokens, prefilledTokens, seconds, kvHash, explain } = rebuilt
      printText(
        [
          explainText(explain, columnsOf(process.stdout)),
          `ready after ${secondsText(seconds)}: ${promptTokens} tokens, ${reusedTokens} reused, ${prefilledTokens} computed`,
          `stored: ${fragmentsText(stored.fragments)}, ${bytesText(stored.bytes)}`,
          `KV: ${kvHash ?? 'not hashed'}`,
        ].join('\n'),
      )
    }
    await withNode(flags, (opened) => withInterrupt((signal) => ready(opened, signal)))
  })
}
