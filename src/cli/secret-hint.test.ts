import { expect, test } from 'vitest'
import { withSecretHint } from './secret-hint.ts'

test.each([
  ["error: unknown option '--token'", '--token', 'MEMBRANE_TOKEN', '--token-file'],
  [
    "error: unknown option '--token=hunter2'\n(Did you mean --token-file?)\n",
    '--token',
    'MEMBRANE_TOKEN',
    '--token-file',
  ],
  ["error: unknown option '--token=it's\nhunter2'", '--token', 'MEMBRANE_TOKEN', '--token-file'],
  ["error: unknown option '--password=hunter2'", '--password', 'MEMBRANE_TOKEN', '--token-file'],
  ["error: unknown option '--api-key=hunter2'", '--api-key', 'MEMBRANE_LLM_API_KEY', '--llm-key-file'],
])('%j says where the secret goes, and not the secret', (message, option, variable, file) => {
  const said = withSecretHint(message)
  expect(said).toMatch(/^error: unknown option '--[a-z-]+': a secret here/)
  for (const part of [`'${option}'`, variable, file]) expect(said).toContain(part)
  expect(said).not.toMatch(/hunter2|Did you mean/)
})

test('any other message stays as it is', () => {
  for (const message of ["error: unknown option '--tokens'", "error: missing required argument 'key'"])
    expect(withSecretHint(message)).toBe(message)
})
