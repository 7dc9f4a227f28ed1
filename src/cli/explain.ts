import type { Command } from 'commander'
import { withDataDir } from './data-dir.ts'
import { addNodeFlags } from './node-flags.ts'
import { printJson, printText, table } from './print.ts'
import { broken, columnsOf, secondsText, withReasons } from './print-generation.ts'
import type { RebuildPlan } from '../reconstruct/rebuild-plan.ts'
import { bytesText } from './units.ts'
import { explainPlan } from '../reconstruct/explain.ts'
import { addPromptFlags, promptOf, type PromptFlags } from './prompt-flags.ts'
import { type PromptsFlags, withPrompts } from './prompts.ts'
import { onRun } from './run-command.ts'

type ExplainFlags = PromptsFlags & PromptFlags

export function defineExplain(command: Command): void {
  addPromptFlags(
    command.description('what each span of a prompt would come from and cost, and what it would have cost otherwise'),
  )
  addNodeFlags(command)
  onRun<ExplainFlags>(command, async (flags) => {
    const text = await promptOf(flags)
    await withPrompts(
      flags,
      async ({ explain }) => {
        const plan = await explain(text)
        if (flags.json === true) printJson(plan)
        else printText(planText(plan))
      },
      withDataDir,
    )
  })
}

function planText(plan: RebuildPlan): string {
  const { steps } = plan
  const columns = columnsOf(process.stdout)
  const rows = steps.map(({ span, source, bytes, expectedSeconds, prefillSeconds }) => [
    `${span.start}-${span.end}`,
    source,
    bytes === 0 ? null : bytesText(bytes),
    secondsText(expectedSeconds),
    secondsText(prefillSeconds),
  ])
  const reasons = steps.map(({ reason }) => reason)
  return [
    withReasons(table(['tokens', 'from', 'read', 'time', 'if computed'], rows), { reasons, columns }),
    // What sums up, and what is not used.
    ...explainPlan(plan)
      .slice(steps.length)
      .flatMap((line) => broken(line, columns)),
  ].join('\n')
}
