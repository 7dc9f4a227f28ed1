import type { Command } from 'commander'
import { defineDemoCluster } from './demo-cluster.ts'
import { defineDemoFull } from './demo-full.ts'
import { defineDemoPaper } from './demo-paper.ts'

/** Every demo, in the order in which `membrane demo` runs them. */
const DEMOS: Readonly<Record<string, (command: Command) => void>> = {
  paper: defineDemoPaper,
  full: defineDemoFull,
  cluster: defineDemoCluster,
}

/** `membrane demo NAME` runs one; `membrane demo` runs all that exist, one after the other. */
export function defineDemo(command: Command): void {
  command.description('shows what Membrane does, without any set-up; runs every demo unless one is named')
  for (const [name, define] of Object.entries(DEMOS)) define(command.command(name))
  command.action(async () => {
    for (const demo of command.commands) await demo.parseAsync([], { from: 'user' })
  })
}
