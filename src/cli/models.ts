import { basename } from 'node:path'
import type { Command } from 'commander'
import { DEFAULT_MODELS_PATH, type ListedModel, listModels } from '../engine/gguf-files.ts'
import { bad, type Cell, dim, good, printJson, printText, table } from './print.ts'
import { printable } from './printable.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { bytesText } from './units.ts'

interface ModelsFlags extends GlobalFlags {
  readonly model?: readonly string[]
}

const HEAD = [
  'model',
  'architecture',
  'parameters',
  'layers',
  'heads',
  'KV heads',
  'KV a token',
  'context',
  'tokenizer',
  'types',
  'file',
  'cpu engine',
]

export function defineModels(command: Command): void {
  command
    .description('model files (GGUF) that come along or are given, and whether the built-in cpu engine runs them')
    .optionsGroup('Input:')
    .option(
      '--model <path>',
      'a GGUF file, or a folder of them, too; may be given several times',
      (path: string, before: readonly string[] | undefined) => [...(before ?? []), path],
    )
  onRun<ModelsFlags>(command, async ({ model = [], json }) => {
    const models = await listModels([DEFAULT_MODELS_PATH, ...model])
    if (json === true) {
      printJson(models)
      return
    }
    if (models.length === 0) {
      printText('No model file comes along; name one with --model FILE.gguf.')
      return
    }
    printText(table(HEAD, models.map(rowOf)))
    for (const item of models) {
      const why = item.kind === 'model' ? item.refusal : item.reason
      if (why !== null) printText(`${bad(printable(nameOf(item)))}: ${printable(why)}`)
    }
    printText(dim('KV a token: of all layers, as 32-bit floats, which is what the cpu engine keeps.'))
  })
}

function nameOf({ path }: ListedModel): string {
  return basename(path, '.gguf')
}

function rowOf(item: ListedModel): readonly Cell[] {
  const name = printable(nameOf(item))
  if (item.kind === 'malformed') return [name, ...HEAD.slice(2).map(() => null), bad('no')]
  const { model, pre } = item.tokenizer
  const kinds = [model, model === 'gpt2' ? pre : null].filter((kind) => kind !== null)
  return [
    name,
    textCell(item.architecture),
    item.parameters,
    item.layers,
    item.heads,
    item.kvHeads,
    item.kvBytesPerToken === null ? null : bytesText(item.kvBytesPerToken),
    item.contextTokensMax,
    textCell(kinds.length === 0 ? null : kinds.join(' ')),
    item.tensorTypes.join(' '),
    bytesText(item.fileBytes),
    item.refusal === null ? good('yes') : bad('no'),
  ]
}

function textCell(text: string | null): Cell {
  return text === null ? null : printable(text)
}
