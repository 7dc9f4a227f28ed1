import type { Command } from 'commander'
import { addPromptFlags, promptOf, type PromptFlags } from './prompt-flags.ts'
import { withInterrupt } from './interrupt.ts'
import { addNodeFlags } from './node-flags.ts'
import { numberBetween, whole, wholeNumberOf } from './numbers.ts'
import { DEFAULT_MAX_TOKENS } from '../server/generation.ts'
import { printJson, printNotes } from './print.ts'
import { columnsOf, explainText, generatedTokens, ratesText } from './print-generation.ts'
import { type PromptGeneration, type Prompts, type PromptsFlags, withPrompts } from './prompts.ts'
import { onRun } from './run-command.ts'

interface GenerateFlags extends PromptsFlags, PromptFlags {
  readonly maxTokens?: number
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly seed: number
}

export function defineGenerate(command: Command): void {
  addPromptFlags(command.description('continue a prompt, computing only what the memory does not hold'))
    .optionsGroup('Answer:')
    .option(
      '--max-tokens <n>',
      `tokens to generate at most (default ${DEFAULT_MAX_TOKENS}, or what the context leaves)`,
      wholeNumberOf(1),
    )
    .option('--temperature <t>', '0 takes the likeliest token', numberBetween(0, 100), 0)
    .option('--top-k <n>', 'only the n likeliest tokens; 0 for all', whole, 0)
    .option('--top-p <p>', 'only the likeliest tokens that reach this probability together', numberBetween(0, 1), 1)
    .option('--seed <n>', 'equal seeds draw equal tokens', whole, 0)
  addNodeFlags(command)
  onRun<GenerateFlags>(command, async (flags) => {
    const text = await promptOf(flags)
    const isJson = flags.json === true
    let isLineOpen = false
    const onText = (piece: string): void => {
      process.stdout.write(piece)
      isLineOpen = true
    }
    const ask = async ({ generate, loadSeconds }: Prompts, signal: AbortSignal): Promise<void> => {
      const { maxTokens, temperature, topK, topP, seed } = flags
      const sampling = { temperature, topK, topP, seed }
      const answer = await generate({ text, maxTokens, sampling, signal, ...(isJson ? {} : { onText }) })
      if (answer.storeError !== null) printNotes([`What was computed could not all be kept: ${answer.storeError}`])
      if (isJson) {
        printJson(jsonOf(answer, loadSeconds))
        return
      }
      process.stdout.write('\n')
      isLineOpen = false
      const { explain } = answer
      process.stderr.write(`${ratesText(answer, loadSeconds)}\n`)
      if (explain.length > 0) process.stderr.write(`${explainText(explain, columnsOf(process.stderr))}\n`)
    }
    try {
      await withPrompts(flags, (prompts) => withInterrupt((signal) => ask(prompts, signal)))
    } finally {
      // What went wrong is said on a line of its own.
      if (isLineOpen) process.stdout.write('\n')
    }
  })
}

function jsonOf(answer: PromptGeneration, loadSeconds: number | null): object {
  const { text, tokenIds, storedFragments, storeError: _, ...figures } = answer
  return {
    text,
    tokens: generatedTokens(answer),
    tokenIds: [...tokenIds],
    ...figures,
    storedFragments,
    loadSeconds,
  }
}
