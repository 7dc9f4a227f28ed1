import { z } from 'zod'
import { type ErrorCode, MembraneError } from '../core/errors.ts'

/** Checks a value from outside. The first problem becomes one sentence that names the place, what was found and what was expected. */
export function parseWith<T>(schema: z.ZodType<T>, value: unknown, where: string, code: ErrorCode): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = deepest(result.error.issues)
  const path = issue.path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '')
  const others = result.error.issues.length - 1
  throw new MembraneError(
    code,
    `${where}: ${path === '' ? 'the document' : path}: ${sentence(issue)}${others > 0 ? ` (and ${others} more)` : ''}.`,
    {
      remedy: 'The JSON Schemas in schemas/ describe every field; `membrane config --schema config` prints them.',
      details: {
        where,
        path,
        issues: result.error.issues.map(({ path: at, message }) => ({ path: at.join('.'), message })),
      },
    },
  )
}

/** Of a union's failed branches, the one that got furthest: it names the field and not the whole object. */
function deepest(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  const [first] = issues
  if (first === undefined) throw new Error('Bug: a failed check has no issue')
  if (first.code !== 'invalid_union' || first.errors.length === 0) return first
  const branches = first.errors.map((branch) => deepest(branch))
  const best = branches.reduce((a, b) => (b.path.length > a.path.length ? b : a))
  return best.path.length === 0 ? first : { ...best, path: [...first.path, ...best.path] }
}

function sentence(issue: z.core.$ZodIssue): string {
  const message = issue.message.replace(/^Invalid input: /, '').replace(/\.$/, '')
  return message.charAt(0).toLowerCase() + message.slice(1)
}
