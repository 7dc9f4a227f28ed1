/**
 * Reads TypeScript sources and says where they break the layering: which folder imports which, what the inside may
 * name, cycles, and modules that nothing reaches. Pure, so that its own tests can hand it sources that break rules.
 */
import { posix } from 'node:path'
import { parseSync } from 'oxc-parser'

/** Path relative to the root, with slashes, to source text. */
export type Sources = ReadonlyMap<string, string>

export interface Rules {
  /** For each folder in src/, the other folders that it may import. `''` stands for src/index.ts. */
  readonly arrows: Readonly<Record<string, readonly string[]>>
  /** Folders that reach the world only through ports: no package, no Node module, none of `outsideNames`. */
  readonly inside: readonly string[]
  /** Global names that stand for time, chance, or the machine. */
  readonly outsideNames: readonly string[]
  /** The modules from which every other must be reachable. */
  readonly entries: readonly string[]
}

export interface Graph {
  readonly modules: ReadonlyMap<string, Module>
}

interface Module {
  readonly path: string
  /** Folder below src/, `''` for a file that lies in src/ itself. */
  readonly folder: string
  /** Tests and benches may import and name anything. */
  readonly isTest: boolean
  /** As written: paths, package names and `node:` modules. A computed one is `null`. */
  readonly specifiers: readonly (string | null)[]
  /** The sources that this one imports or starts as workers. */
  readonly imports: readonly string[]
  /** Free or bound, every name that is not just a property. `Math.random` counts as one name. */
  readonly names: ReadonlySet<string>
}

export function readGraph(sources: Sources): Graph {
  const modules = [...sources].map(([path, text]) => readModule(path, text, sources))
  return { modules: new Map(modules.map((module) => [module.path, module])) }
}

/** One sentence for each broken rule. */
export function findViolations(graph: Graph, rules: Rules): string[] {
  const modules = [...graph.modules.values()]
  return [
    ...modules.flatMap((module) => placeViolations(module, rules)),
    ...modules.filter((module) => !module.isTest).flatMap((module) => importViolations(module, graph, rules)),
    ...modules.filter((module) => !module.isTest).flatMap((module) => insideViolations(module, rules)),
    ...findCycles(graph).map((cycle) => `The imports ${cycle.join(' -> ')} form a cycle.`),
    ...unreachable(graph, rules).map((path) => `${path} is reached from no entry point: delete it.`),
  ]
}

function placeViolations({ path, folder }: Module, { arrows }: Rules): string[] {
  if (path.split('/').length > 3) return [`${path} lies deeper than one folder below src/.`]
  if (folder === '' && path !== 'src/index.ts') return [`${path} lies loose in src/.`]
  return folder in arrows ? [] : [`${path} lies in a folder that the table of arrows does not name.`]
}

function importViolations({ path, folder, specifiers, imports }: Module, graph: Graph, { arrows }: Rules): string[] {
  const violations: string[] = []
  for (const specifier of specifiers) {
    if (specifier === null) violations.push(`${path} imports a computed path, which cannot be checked.`)
    else if (isRelative(specifier) && !graph.modules.has(resolve(path, specifier))) {
      violations.push(`${path} imports '${specifier}', which is no source file.`)
    }
  }
  for (const target of imports) {
    const other = graph.modules.get(target)
    if (other === undefined) continue
    if (other.isTest) violations.push(`${path} imports ${target}, which is a test.`)
    if (other.folder !== folder && arrows[folder]?.includes(other.folder) === false) {
      violations.push(`${path} imports ${target}, against the arrows.`)
    }
  }
  return violations
}

function insideViolations({ path, folder, specifiers, names }: Module, { inside, outsideNames }: Rules): string[] {
  if (!inside.includes(folder)) return []
  const packages = specifiers.filter((specifier) => specifier !== null && !isRelative(specifier))
  return [
    ...packages.map((name) => `${path} imports '${name}': the inside imports no Node module and no package.`),
    ...outsideNames
      .filter((name) => names.has(name))
      .map((name) => `${path} names ${name}: the inside takes time, chance and the world as arguments.`),
  ]
}

/** One cycle for each way back that a depth-first walk finds, as paths that start and end with the same module. */
function findCycles(graph: Graph): string[][] {
  const cycles: string[][] = []
  const isDone = new Set<string>()
  const trail: string[] = []
  const visit = (path: string): void => {
    if (trail.includes(path)) {
      cycles.push([...trail.slice(trail.indexOf(path)), path])
      return
    }
    if (isDone.has(path)) return
    trail.push(path)
    for (const next of graph.modules.get(path)?.imports ?? []) visit(next)
    trail.pop()
    isDone.add(path)
  }
  for (const path of graph.modules.keys()) visit(path)
  return cycles
}

function unreachable(graph: Graph, { entries }: Rules): string[] {
  const reached = new Set<string>()
  const queue = [...entries]
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (reached.has(path)) continue
    reached.add(path)
    queue.push(...(graph.modules.get(path)?.imports ?? []))
  }
  return [...graph.modules.values()].filter((module) => !module.isTest && !reached.has(module.path)).map((m) => m.path)
}

function readModule(path: string, text: string, sources: Sources): Module {
  const { program, errors } = parseSync(path, text)
  if (errors[0] !== undefined) throw new Error(`${path} does not parse: ${errors[0].message}`)
  const specifiers: (string | null)[] = []
  const workers: string[] = []
  const names = new Set<string>()
  walk(program as unknown as Node, (node) => {
    switch (node['type']) {
      case 'ImportDeclaration':
      case 'ExportNamedDeclaration':
      case 'ExportAllDeclaration':
      case 'ImportExpression':
      case 'TSImportType':
        if (isNode(node['source'])) specifiers.push(stringValue(node['source']))
        break
      case 'NewExpression':
        workers.push(...urlPaths(node))
        break
      case 'Identifier':
        names.add(String(node['name']))
        break
      case 'MemberExpression':
        if (isNamed(node['object'], 'Math') && isNamed(node['property'], 'random')) names.add('Math.random')
        break
      case 'VariableDeclarator':
        // What is taken out of it is not followed.
        if (isNamed(node['init'], 'Math')) names.add('Math.random')
        break
      default:
    }
  })
  const written = specifiers.filter((specifier) => specifier !== null).filter(isRelative)
  // A worker is named by the file that it is in dist/, where its name ends in .js.
  const targets = [...written, ...workers.map((name) => name.replace(/\.js$/, '.ts'))]
  return {
    path,
    folder: posix.dirname(path).split('/')[1] ?? '',
    isTest: /\.(test|bench)\.ts$/.test(path),
    specifiers,
    imports: [...new Set(targets.map((target) => resolve(path, target)))].filter((target) => sources.has(target)),
    names,
  }
}

type Node = Readonly<Record<string, unknown>>

function walk(node: Node, visit: (node: Node) => void): void {
  visit(node)
  for (const [field, value] of Object.entries(node)) {
    if (isPlainName(node, field)) continue
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) walk(child, visit)
  }
}

/** True for the parts of a node that name a property or another module's export, not a variable or a type. */
function isPlainName(node: Node, field: string): boolean {
  switch (node['type']) {
    case 'ImportSpecifier':
      return field === 'imported'
    case 'ExportSpecifier':
      return field === 'exported'
    case 'TSQualifiedName':
      return field === 'right'
    default:
      return (field === 'key' || field === 'property') && node['computed'] !== true
  }
}

/** The relative paths in `new URL('./x.ts', import.meta.url)`, which is how workers are named. */
function urlPaths(node: Node): string[] {
  const [path, base] = Array.isArray(node['arguments']) ? node['arguments'] : []
  if (!isNamed(node['callee'], 'URL') || !isNode(path) || !isNode(base)) return []
  const paths: string[] = []
  walk(path, (part) => {
    const value = stringValue(part)
    if (value !== null && isRelative(value)) paths.push(value)
  })
  return paths
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value
}

/** True for the name itself and for the string in `Math['random']`. */
function isNamed(value: unknown, name: string): boolean {
  return isNode(value) && (value['type'] === 'Identifier' ? value['name'] : stringValue(value)) === name
}

function stringValue(node: Node): string | null {
  return node['type'] === 'Literal' && typeof node['value'] === 'string' ? node['value'] : null
}

function isRelative(specifier: string): boolean {
  return specifier.startsWith('.')
}

function resolve(from: string, specifier: string): string {
  return posix.join(posix.dirname(from), specifier)
}
