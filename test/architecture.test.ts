import { globSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { findViolations, readGraph, type Rules } from './architecture.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Pure, or waiting only on ports. */
const INSIDE = ['core', 'policy', 'planner', 'indices', 'reconstruct', 'transfer', 'cluster']
/** Redis, model providers, the wire. */
const EDGES = ['store', 'hashing', 'vectors', 'engine', 'compute', 'api']

/**
 * Who may import whom. Everything may import `core`, and its own folder.
 * The order keeps a change local: what is inside knows nothing of the edges.
 */
const RULES: Rules = {
  arrows: {
    core: [],
    policy: ['core'],
    planner: ['core', 'policy'],
    indices: ['core'],
    reconstruct: ['core', 'policy', 'indices'],
    transfer: ['core', 'policy'],
    cluster: ['core', 'policy', 'transfer'],
    store: ['core', 'policy'],
    hashing: ['core'],
    vectors: ['core'],
    engine: ['core'],
    compute: ['core', 'engine'],
    api: ['core', 'planner'],
    server: [...INSIDE, ...EDGES],
    doors: [...INSIDE, ...EDGES, 'server'],
    cli: [...INSIDE, ...EDGES, 'server', 'doors', ''],
    '': [...INSIDE, ...EDGES, 'server', 'doors'],
  },
  inside: INSIDE,
  outsideNames: (
    'Date performance Math.random crypto fetch setTimeout setInterval setImmediate queueMicrotask ' +
    'process console global globalThis Buffer require'
  ).split(' '),
  entries: ['src/index.ts', 'src/server/library.ts', 'src/server/client-library.ts', 'src/cli/main.ts'],
}

describe('the sources', () => {
  const paths = globSync('src/**/*.ts', { cwd: ROOT })
  const sources = new Map(paths.map((path) => [path.replaceAll('\\', '/'), readFileSync(`${ROOT}/${path}`, 'utf8')]))
  const graph = readGraph(sources)

  test('are all read', () => {
    const onDisk = readdirSync(`${ROOT}/src`, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.ts'),
    )
    expect(onDisk.length).toBeGreaterThan(0)
    expect(graph.modules.size).toBeGreaterThanOrEqual(onDisk.length)
  })

  test('have every import found that a plain text search finds', () => {
    for (const [path, text] of sources) {
      const inText = [...text.matchAll(/^(?:import|export|\}).* from '(.+)'$/gm)].map((match) => match[1])
      expect(graph.modules.get(path)?.specifiers, path).toEqual(expect.arrayContaining(inText))
    }
  })

  test('keep to the architecture', () => {
    expect(findViolations(graph, RULES)).toEqual([])
  })
})

describe('the checker', () => {
  /** Checks these files together with an entry that reaches the first of them. */
  const check = (files: Record<string, string>): string[] => {
    const [first] = Object.keys(files)
    const entry = `export * from '${first?.replace('src/', './')}'`
    return findViolations(readGraph(new Map([['src/index.ts', entry], ...Object.entries(files)])), RULES)
  }

  test('accepts what keeps to the rules', () => {
    const files = {
      'src/planner/a.ts': `import type { B } from '../core/b.ts'\nexport const a: B = { Date: 1, now: Math.max(1, 2) }`,
      'src/core/b.ts': `export interface B { Date: number; now: number }`,
      'src/core/b.test.ts': `import '../planner/a.ts'\nimport 'node:fs'\nconsole.log(Date.now())`,
    }
    expect(check(files)).toEqual([])
  })

  test.each([
    ['a static import', `import { b } from '../planner/b.ts'`],
    ['a type import', `import type { b } from '../planner/b.ts'`],
    ['an export', `export { b } from '../planner/b.ts'`],
    ['an export of everything', `export * from '../planner/b.ts'`],
    ['a dynamic import', `export const b = import('../planner/b.ts')`],
    ['an import in a type', `export type B = import('../planner/b.ts').B`],
    ['the type of a module', `export let b: typeof import('../planner/b.ts')`],
    ['a worker', `new URL('../planner/b.js', import.meta.url)`],
  ])('catches %s against the arrows', (_, text) => {
    expect(check({ 'src/core/a.ts': text, 'src/planner/b.ts': 'export const b = 1' })).toEqual([
      'src/core/a.ts imports src/planner/b.ts, against the arrows.',
    ])
  })

  test.each(['vitest', 'node:fs', 'fs', '@scope/name', '#alias'])('catches %s imported by the inside', (name) => {
    expect(check({ 'src/core/a.ts': `import type { X } from '${name}'` })).toEqual([
      `src/core/a.ts imports '${name}': the inside imports no Node module and no package.`,
    ])
    expect(check({ 'src/store/a.ts': `import type { X } from '${name}'` })).toEqual([])
  })

  test.each([
    ['Date', 'export const now = () => Date.now()'],
    ['Date', 'export function year(date: Date) { return date }'],
    ['Date', 'const [first = Date] = []'],
    ['Math.random', 'export const chance = Math.random()'],
    ['Math.random', "export const chance = Math?.['random']()"],
    ['Math.random', 'const { random } = Math'],
    ['performance', 'export const now = { performance }'],
    ['setTimeout', 'setTimeout(() => {}, 1)'],
    ['process', "export const home = process.env['HOME']"],
    ['console', 'console.log(1)'],
    ['globalThis', "export const now = globalThis['Date']"],
  ])('catches %s named by the inside in: %s', (name, text) => {
    expect(check({ 'src/planner/a.ts': text })).toEqual([
      `src/planner/a.ts names ${name}: the inside takes time, chance and the world as arguments.`,
    ])
    expect(check({ 'src/store/a.ts': text })).toEqual([])
  })

  test('catches a cycle, of types too', () => {
    const files = {
      'src/core/a.ts': `import type { B } from './b.ts'`,
      'src/core/b.ts': `import { c } from './c.ts'`,
      'src/core/c.ts': `import { b } from './b.ts'`,
    }
    expect(check(files)).toEqual(['The imports src/core/b.ts -> src/core/c.ts -> src/core/b.ts form a cycle.'])
  })

  test('catches a module that only tests reach', () => {
    const files = {
      'src/core/a.ts': '',
      'src/core/lost.ts': '',
      'src/core/lost.test.ts': `import './lost.ts'`,
    }
    expect(check(files)).toEqual(['src/core/lost.ts is reached from no entry point: delete it.'])
  })

  test('catches files in the wrong place', () => {
    expect(check({ 'src/core/deep/a.ts': '' })).toEqual(['src/core/deep/a.ts lies deeper than one folder below src/.'])
    expect(check({ 'src/loose.ts': '' })).toEqual(['src/loose.ts lies loose in src/.'])
    expect(check({ 'src/utils/a.ts': '' })).toContain(
      'src/utils/a.ts lies in a folder that the table of arrows does not name.',
    )
  })

  test('catches imports that it cannot follow', () => {
    expect(check({ 'src/core/a.ts': `import './nowhere.ts'` })).toEqual([
      "src/core/a.ts imports './nowhere.ts', which is no source file.",
    ])
    expect(check({ 'src/core/a.ts': 'export const load = (name: string) => import(name)' })).toEqual([
      'src/core/a.ts imports a computed path, which cannot be checked.',
    ])
  })

  test('catches a test imported by what is not one', () => {
    expect(check({ 'src/core/a.ts': `import './b.test.ts'`, 'src/core/b.test.ts': '' })).toEqual([
      'src/core/a.ts imports src/core/b.test.ts, which is a test.',
    ])
  })
})
