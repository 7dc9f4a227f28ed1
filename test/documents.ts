/** Examples in documents: blocks of code that a test runs, each after a comment that says so. */

export interface Example {
  /** Of its first line, counted from 1. */
  readonly line: number
  /** What stands after the three backquotes. */
  readonly language: string
  readonly code: string
}

/** Blocks after `<!-- run -->`. Throws for such a comment without a block. */
export function runnableExamples(text: string): readonly Example[] {
  const marks = [...text.matchAll(/^<!-- run -->$/gm)].length
  const found = [...text.matchAll(/^<!-- run -->\n```(\w+)\n([\s\S]*?)^```$/gm)]
  if (found.length !== marks) throw new Error(`${marks} examples are to be run, ${found.length} blocks were found.`)
  return found.map(({ index, 1: language = '', 2: code = '' }) => ({
    line: text.slice(0, index).split('\n').length + 2,
    language,
    code,
  }))
}

/** Commands of the shell blocks below a heading, without what is said about them. */
export function commandsBelow(text: string, heading: string): readonly string[] {
  const [, section = ''] = text.split(`\n${heading}\n`)
  const [own = ''] = section.split(/\n## /)
  return [...own.matchAll(/^```sh\n([\s\S]*?)^```$/gm)]
    .flatMap(([, code = '']) => code.split('\n'))
    .map((line) => line.replace(/ +# .*$/, ''))
    .filter((line) => line.startsWith('./membrane '))
}

/** TypeScript blocks. */
export function programsOf(text: string): readonly Example[] {
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(({ index, 1: code = '' }) => ({
    line: text.slice(0, index).split('\n').length + 1,
    language: 'ts',
    code,
  }))
}
