import type { Command } from 'commander'
import { withInterrupt } from './interrupt.ts'
import { addNodeFlags } from './node-flags.ts'
import { printJson, printText, printWarnings } from './print.ts'
import { columnsOf, explainText, secondsText } from './print-generation.ts'
import { addPromptFlags, promptOf, type PromptFlags } from './prompt-flags.ts'
import { type Prompts, type PromptsFlags, withPrompts } from './prompts.ts'
import { onRun } from './run-command.ts'
import { bytesText, fragmentsText } from './units.ts'

type RebuildFlags = PromptsFlags & PromptFlags

export function defineRebuild(command: Command): void {
  addPromptFlags(
    command.description("make a prompt's KV ready, computing only what is missing, and keep what was computed"),
  )
  addNodeFlags(command)
  onRun<RebuildFlags>(command, async (flags) => {
    const text = await promptOf(flags)
    const ready = async ({ rebuild, loadSeconds }: Prompts, signal: AbortSignal): Promise<void> => {
      const { storeError, ...rebuilt } = await rebuild(text, signal)
      if (storeError !== null) printWarnings([`Not all that was computed could be kept: ${storeError}`])
      if (flags.json === true) {
        printJson({ ...rebuilt, loadSeconds })
        return
      }
      const { promptTokens, reusedTokens, prefilledTokens, seconds, kvHash, explain, stored } = rebuilt
      printText(
        [
          explainText(explain, columnsOf(process.stdout)),
          `ready after ${secondsText(seconds)}: ${promptTokens} tokens, ${reusedTokens} reused, ${prefilledTokens} computed`,
          `stored: ${fragmentsText(stored.fragments)}, ${bytesText(stored.bytes)}`,
          `KV: ${kvHash ?? 'not hashed'}`,
        ].join('\n'),
      )
    }
    await withPrompts(flags, (prompts) => withInterrupt((signal) => ready(prompts, signal)))
  })
}
