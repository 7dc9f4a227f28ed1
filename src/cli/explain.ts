import type { Command } from 'commander'
import { addNodeFlags, engineOf, type NodeFlags, reuseOf, withNode } from './node-flags.ts'
import { printJson, printText } from './print.ts'
import { explainPlan } from '../reconstruct/explain.ts'
import { addPromptFlags, promptOf, type PromptFlags } from './prompt-flags.ts'
import { onRun } from './run-command.ts'

type ExplainFlags = NodeFlags & PromptFlags

export function defineExplain(command: Command): void {
  addPromptFlags(
    command.description('what each span of a prompt would come from and cost, and what it would have cost otherwise'),
  )
  addNodeFlags(command)
  onRun<ExplainFlags>(command, async (flags) => {
    const text = await promptOf(flags)
    await withNode(flags, async (opened) => {
      const request = { tenant: opened.tenant, prompt: { text }, reuse: reuseOf(flags) }
      const plan = await engineOf(opened).plan(request)
      if (flags.json === true) printJson(plan)
      else for (const line of explainPlan(plan)) printText(line)
    })
  })
}
