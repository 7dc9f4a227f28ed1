/**
 * Tests of engines that are not ours run when `npm run soak` asks for them: their packages are optional, large, and hold
 * native code that spins on every core. Elsewhere such a suite says in its name why it is skipped.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** Models for tests, which the project may use and does not ship. */
export const TEST_MODELS = join(import.meta.dirname, '../../shared/data/models')

const isAsked = process.env['MEMBRANE_OPTIONAL'] === '1'
const hasModels = existsSync(TEST_MODELS)

/** For `describe.skipIf`. A package that is missing although it was asked for makes the tests fail. */
export const SKIP_OPTIONAL = !isAsked || !hasModels

/** For the suite's name, which test/reporter.ts looks for. */
export const WHY_OPTIONAL = !isAsked
  ? ' (SKIPPED: optional engines run in npm run soak)'
  : hasModels
    ? ''
    : ` (SKIPPED: no data folder ${TEST_MODELS})`
