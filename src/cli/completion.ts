import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { listPresets } from '../planner/presets.ts'
import { printJson, printText } from './print.ts'
import { type GlobalFlags, onRun } from './run-command.ts'

/** `membrane completion SHELL` prints a script for the shell's start-up file. It is made from the commands themselves. */
export function defineCompletion(command: Command, program: Command): void {
  command
    .description('shell completion: add `eval "$(membrane completion bash)"` to ~/.bashrc')
    .argument('<shell>', 'bash, zsh or fish')
  onRun<GlobalFlags>(command, async (flags, [shell = '']) => {
    const make = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined
    if (make === undefined) {
      throw new MembraneError('INVALID_REQUEST', `There is no completion for "${shell}".`, {
        remedy: `Choose one of ${Object.keys(SCRIPTS).join(', ')}.`,
      })
    }
    const script = make(wordsOf(program))
    if (flags.json === true) printJson({ shell, script })
    else printText(script)
  })
}

/** What may follow each command path ("" is the program itself), and the values of `--preset`. */
interface Words {
  readonly after: ReadonlyMap<string, readonly string[]>
  readonly presets: readonly string[]
}

function wordsOf(program: Command): Words {
  const after = new Map<string, readonly string[]>()
  const globals = program.options.flatMap(({ long }) => (long === undefined ? [] : [long]))
  const visit = (command: Command, path: string): void => {
    const own = command.options.flatMap(({ long }) => (long === undefined ? [] : [long]))
    after.set(path, [...command.commands.map((child) => child.name()), ...new Set([...own, ...globals, '--help'])])
    for (const child of command.commands) visit(child, path === '' ? child.name() : `${path} ${child.name()}`)
  }
  visit(program, '')
  return { after, presets: listPresets().map(({ name }) => name) }
}

const SCRIPTS: Readonly<Record<string, (words: Words) => string>> = {
  bash: (words) => `${bashFunction(words)}\ncomplete -o default -F _membrane membrane`,
  zsh: (words) =>
    `autoload -U +X bashcompinit && bashcompinit\n${bashFunction(words)}\ncomplete -o default -F _membrane membrane`,
  fish: fishScript,
}

function bashFunction({ after, presets }: Words): string {
  const cases = [...after].map(([path, words]) => `    '${path}') words='${words.join(' ')}' ;;`)
  return [
    '_membrane() {',
    '  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" path="" word words=""',
    '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
    '    case "$word" in -*) break ;; *) path="${path:+$path }$word" ;; esac',
    '  done',
    `  if [ "$previous" = --preset ] || [ "$previous" = -p ]; then COMPREPLY=($(compgen -W '${presets.join(' ')}' -- "$current")); return; fi`,
    '  case "$path" in',
    ...cases,
    '  esac',
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    '}',
  ].join('\n')
}

function fishScript({ after, presets }: Words): string {
  const lines = [...after].flatMap(([path, words]) => {
    const condition =
      path === ''
        ? '__fish_use_subcommand'
        : path
            .split(' ')
            .map((word) => `__fish_seen_subcommand_from ${word}`)
            .join('; and ')
    return words.map((word) =>
      word.startsWith('--')
        ? `complete -c membrane -n '${condition}' -l ${word.slice(2)}`
        : `complete -c membrane -f -n '${condition}' -a ${word}`,
    )
  })
  return [...lines, `complete -c membrane -f -l preset -s p -x -a '${presets.join(' ')}'`].join('\n')
}
