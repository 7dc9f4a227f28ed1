import { z } from 'zod'
import { assert, type ErrorCode, MembraneError } from '../core/errors.ts'

/** Checks a value from outside. The first problem becomes one sentence that names the place, what was found and what was expected. */
export function parseWith<T>(
  schema: z.ZodType<T>,
  value: unknown,
  where: string,
  code: ErrorCode,
  schemaName = code === 'INVALID_PROFILE' ? 'profile' : 'config',
): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issues = meantIssues(result.error.issues)
  const [issue] = issues
  assert(issue !== undefined, 'a failed check has an issue')
  const path = issue.path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '')
  const others = issues.length - 1
  throw new MembraneError(
    code,
    `${where}: ${path === '' ? 'the document' : path}: ${sentence(issue)}${others > 0 ? ` (and ${others} more)` : ''}.`,
    {
      remedy: `The JSON Schemas in schemas/ describe every field; \`membrane config --schema ${schemaName}\` prints the one of this file.`,
      details: {
        where,
        path,
        issues: issues.map(({ path: at, message }) => ({ path: at.join('.'), message })),
      },
    },
  )
}

/** The issues, with a union replaced by those of the branch that was meant: the one that got furthest. */
function meantIssues(issues: readonly z.core.$ZodIssue[]): readonly z.core.$ZodIssue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue]
    // A branch for another kind is not the one that was meant.
    const ofKind = issue.errors.filter((branch) => !branch.some(({ path }) => path.at(-1) === 'kind'))
    const branches = (ofKind.length > 0 ? ofKind : issue.errors).map(meantIssues)
    const depth = (branch: readonly z.core.$ZodIssue[]): number => Math.max(...branch.map(({ path }) => path.length))
    const best = branches.reduce((a, b) => (depth(b) > depth(a) ? b : a))
    return depth(best) === 0 ? [issue] : best.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }))
  })
}

function sentence(issue: z.core.$ZodIssue): string {
  const message = issue.message
    .replace(/^Invalid input: /, '')
    .replace(/\.$/, '')
    .replace(/^expected (.*), received undefined$/, 'is missing, expected $1')
  return message.charAt(0).toLowerCase() + message.slice(1)
}
