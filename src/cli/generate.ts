import type { Command } from 'commander'
import { addPromptFlags, promptOf, type PromptFlags } from './prompt-flags.ts'
import { addNodeFlags, type NodeFlags, reuseOf, withNode } from './node-flags.ts'
import { numberBetween, whole, wholeNumberOf } from './numbers.ts'
import type { Generation } from '../server/generation.ts'
import { printJson, printNotes } from './print.ts'
import { explainText, ratesText } from './print-generation.ts'
import { onRun } from './run-command.ts'

interface GenerateFlags extends NodeFlags, PromptFlags {
  readonly maxTokens: number
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly seed: number
}

export function defineGenerate(command: Command): void {
  addPromptFlags(command.description('continue a prompt, computing only what the memory does not hold'))
    .optionsGroup('Answer:')
    .option('--max-tokens <n>', 'tokens to generate at most', wholeNumberOf(1), 64)
    .option('--temperature <t>', '0 takes the likeliest token', numberBetween(0, 100), 0)
    .option('--top-k <n>', 'only the n likeliest tokens; 0 for all', whole, 0)
    .option('--top-p <p>', 'only the likeliest tokens that reach this probability together', numberBetween(0, 1), 1)
    .option('--seed <n>', 'equal seeds draw equal tokens', whole, 0)
  addNodeFlags(command)
  onRun<GenerateFlags>(command, async (flags) => {
    const text = await promptOf(flags)
    const isJson = flags.json === true
    await withNode(flags, async ({ generator, tenant, loadSeconds }) => {
      const { maxTokens, temperature, topK, topP, seed } = flags
      const answer = await generator.generate({
        tenant,
        prompt: { text },
        maxTokens,
        sampling: { temperature, topK, topP, seed },
        session: flags.session ?? null,
        reuse: reuseOf(flags),
        wantsKvHash: true,
        ...(isJson ? {} : { onText: (piece: string) => process.stdout.write(piece) }),
      })
      if (answer.stored?.error != null)
        printNotes([`What was computed could not all be kept: ${answer.stored.error.message}`])
      if (isJson) {
        printJson(jsonOf(answer, loadSeconds))
        return
      }
      process.stdout.write('\n')
      process.stderr.write(`${ratesText(answer, loadSeconds)}\n${explainText(answer.explain)}\n`)
    })
  })
}

function jsonOf({ text, tokenIds, stored, ...figures }: Generation, loadSeconds: number): object {
  return {
    text,
    tokens: tokenIds.length,
    tokenIds: [...tokenIds],
    ...figures,
    storedFragments: stored?.fragments ?? null,
    loadSeconds,
  }
}
