import { rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { copyDatabaseTemplate } from '../test/support/database-template.ts';
import { type SiteProcess, spawnSiteProcess } from '../test/support/site-process.ts';
import type { DemoServer } from './dataset.ts';
import type { SiteStores } from './stores/layout.ts';

/** One complete installation: a real `forestay serve`, with a data directory of its own. */
export interface DemoSite {
  readonly url: string;
  readonly token: string;
  readonly tokenFile: string;
  /** Kills the process as a power cut does and deletes its data directory. May be called again. */
  destroy(): Promise<void>;
  /** Asks it to stop, insists after some seconds, and deletes its data directory. */
  close(): Promise<void>;
  /** The end of what it logged, for when something went wrong. */
  lastWords(): string[];
}

const patienceMs = 5000;

/** Starts it and waits until it is ready; the signal ends it while it starts, and the stack whenever it does not any more. */
export async function startDemoSite(
  dataDir: string,
  options: {
    readonly stores: SiteStores;
    readonly address?: string;
    readonly settings?: DemoServer['siteSettings'];
    readonly signal: AbortSignal;
  },
  stack: AsyncDisposableStack,
): Promise<DemoSite> {
  const { stores, address = '127.0.0.1:0', settings, signal } = options;
  // Only in tests there is one.
  await copyDatabaseTemplate(dataDir);
  const { child, exited, output, ready } = spawnSiteProcess({
    dataDir,
    env: {
      ...settings,
      FORESTAY_LISTEN: address,
      FORESTAY_STORE: stores.primary,
      ...(stores.secondary !== undefined && { FORESTAY_SECONDARY_STORES: stores.secondary }),
    },
  });
  const end = async (signals: readonly NodeJS.Signals[]) => {
    for (const signal of signals) {
      if (child.exitCode !== null || child.signalCode !== null) break;
      child.kill(signal);
      await Promise.race([exited, sleep(patienceMs, undefined, { ref: false })]);
    }
    await rm(dataDir, { recursive: true, force: true });
  };
  const close = () => end(['SIGTERM', 'SIGKILL']);
  stack.defer(close);
  const giveUp = () => child.kill('SIGKILL');
  signal.addEventListener('abort', giveUp, { once: true });
  const site: SiteProcess = await ready;
  signal.removeEventListener('abort', giveUp);
  return {
    url: site.url,
    token: site.token,
    tokenFile: path.join(dataDir, 'admin-token'),
    destroy: () => end(['SIGKILL']),
    close,
    lastWords: () => output().trimEnd().split('\n').slice(-10),
  };
}
