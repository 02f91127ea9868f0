import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';

// biome-ignore lint/style/noDefaultExport: vitest reads the default export
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // More than cores: a good part of the time is waiting for servers and timers.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    pool: 'forks',
  },
});
