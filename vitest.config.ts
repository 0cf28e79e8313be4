import { defineConfig } from 'vitest/config'

// unit: no server, no root, fast. integration: real journald, systemd-journal-remote and other servers.
// crash: child processes that are killed; each file is long, so they run beside each other.
const shared = { environment: 'node', testTimeout: 30_000, hookTimeout: 60_000 } as const

export default defineConfig({
  test: {
    ...shared,
    globalSetup: ['test/support/globalSetup.ts'],
    maxWorkers: 2,
    reporters: ['default', './test/support/tallyReporter.ts'],
    projects: [
      {
        extends: true,
        test: {
          ...shared,
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/integration/**', 'test/crash/**'],
        },
      },
      {
        extends: true,
        test: {
          ...shared,
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'test/crash/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
})
