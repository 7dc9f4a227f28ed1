import { mkdirSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Reporter, TestModule, TestSuite, Vitest } from 'vitest/node'

/** Set to `fail` where everything that tests need is installed, so that a test cannot quietly stop running. */
const SKIPS_FAIL = process.env['MEMBRANE_SKIPS'] === 'fail'

/**
 * Data of others that the project may use and does not ship, and engines of others that only the soak runs: a test that
 * needs them says so in its name.
 */
const ALLOWED_SKIP = /no data folder|optional engines run in npm run soak/

/**
 * Ends a run with the plain line `N passed, N failed`, for people and programs alike.
 * Whatever makes the run fail counts as failed: a file that does not load, an error that no test caught,
 * a test that never finished, and, with MEMBRANE_SKIPS=fail, a test skipped for want of something the set-up installs.
 */
export default class CountsReporter implements Reporter {
  #cacheFolder = '.cache'
  #lastLines = '0 passed, 1 failed'

  onInit(vitest: Vitest): void {
    this.#cacheFolder = join(vitest.config.root, '.cache')
    // At exit, since other reporters may still have something to say. Synchronous, since nothing else works there.
    process.once('exit', () => writeSync(1, `${this.#lastLines}\n`))
  }

  /** Also leaves the counts in .cache/test-counts.json, for programs. */
  onTestRunEnd(
    testModules: readonly TestModule[],
    unhandledErrors: readonly unknown[],
    reason: 'passed' | 'interrupted' | 'failed',
  ): void {
    const skippedNames: string[] = []
    let passed = 0
    let failed = unhandledErrors.length
    for (const testModule of testModules) {
      failed += countErrors(testModule)
      for (const test of testModule.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed += 1
        else if (state === 'skipped') skippedNames.push(`${testModule.relativeModuleId} > ${test.fullName}`)
        else failed += 1
      }
    }
    if (failed === 0 && (reason !== 'passed' || passed === 0)) failed = 1

    const lines: string[] = []
    const forbidden = SKIPS_FAIL ? skippedNames.filter((name) => !ALLOWED_SKIP.test(name)) : []
    if (forbidden.length > 0) {
      failed += forbidden.length
      lines.push('Skipped, which MEMBRANE_SKIPS=fail forbids:', ...forbidden.map((name) => `  ${name}`))
    }
    if (failed > 0) process.exitCode = 1
    const skipped = skippedNames.length - forbidden.length
    lines.push(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)

    this.#lastLines = lines.join('\n')

    mkdirSync(this.#cacheFolder, { recursive: true })
    writeFileSync(join(this.#cacheFolder, 'test-counts.json'), `${JSON.stringify({ passed, failed, skipped })}\n`)
  }
}

/** Errors outside tests: at the top of a file, in a hook, in the body of a `describe`. */
function countErrors(suite: TestModule | TestSuite): number {
  let count = suite.errors().length
  for (const child of suite.children.suites()) count += countErrors(child)
  return count
}
