import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    pool: 'threads',
    // By default one core stays idle, which is half of a small machine; most tests wait for a process they started.
    maxWorkers: availableParallelism(),
    reporters: ['default', './test/reporter.ts'],
    globalSetup: './test/build-kernel.ts',
    projects: [
      {
        extends: true,
        // Pure code shares nothing, so these files share one set of loaded modules: ten times faster.
        test: {
          name: 'unit',
          include: ['{src,test}/**/*.test.ts'],
          exclude: ['test/e2e/**'],
          isolate: false,
          // Against what hangs, not against a machine that has other things to do.
          testTimeout: 60_000,
        },
      },
      {
        extends: true,
        // These start processes and browsers and install packages.
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Of hundreds of processes, each would compile the same modules for a quarter of its time.
          env: { NODE_COMPILE_CACHE: join(import.meta.dirname, '.cache', 'compiled') },
        },
      },
    ],
  },
})
