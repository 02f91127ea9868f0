import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { DataSize, Dataset, DemoServer } from './dataset.ts';
import type { Narrator } from './narrate.ts';
import { type DemoSite, startDemoSite } from './site.ts';

/** Everything the story plays with. What it starts is ended, and what it writes deleted, by the stack it was given. */
export interface Stage {
  /** Where downloads and the key lie, in a temp folder of its own. */
  readonly folder: string;
  readonly keyFile: string;
  readonly key: string;
  /** The folder that both sites know; nothing else is common to them. */
  readonly sharedStore: string;
  /** Site A with the instance that has the data; site B, far away, with an empty one. */
  readonly a: { readonly site: DemoSite; readonly server: DemoServer };
  readonly b: { readonly site: DemoSite; readonly server: DemoServer };
  /** Builds a new, empty site A at the address of the old one. */
  rebuildA(): Promise<DemoSite>;
}

export async function setStage(
  dataset: Dataset,
  size: DataSize,
  stack: AsyncDisposableStack,
  narrator: Narrator,
  signal: AbortSignal,
): Promise<Stage> {
  const folder = await mkdtemp(path.join(tmpdir(), 'forestay-demo-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o700);
  const key = randomBytes(24).toString('base64url');
  const keyFile = path.join(folder, 'key');
  await writeFile(keyFile, `${key}\n`, { mode: 0o600 });
  const sharedStore = path.join(folder, 'shared-store');
  const storesOfA = { primary: `file:${sharedStore}` };
  const storesOfB = {
    primary: `file:${path.join(folder, 'store-of-b')}`,
    secondary: storesOfA.primary,
  };

  const startServer = async () => {
    const server = await dataset.startServer();
    stack.defer(() => server.destroy());
    return server;
  };
  const [serverA, serverB] = await narrator.during('Starting two private servers', () =>
    allEnded([startServer(), startServer()]),
  );
  signal.throwIfAborted();

  const forA = { stores: storesOfA, settings: serverA.siteSettings, signal };
  const forB = { stores: storesOfB, settings: serverB.siteSettings, signal };
  const [, siteA, siteB] = await narrator.during('Making up data, and starting two sites', (progress) =>
    allEnded([
      serverA.fill(size, ({ done, total, title }) => progress(done / total, title), signal),
      startDemoSite(path.join(folder, 'site-a'), forA, stack),
      startDemoSite(path.join(folder, 'site-b'), forB, stack),
    ]),
  );
  return {
    folder,
    keyFile,
    key,
    sharedStore,
    a: { site: siteA, server: serverA },
    b: { site: siteB, server: serverB },
    rebuildA: () => {
      const address = new URL(siteA.url).host;
      return startDemoSite(path.join(folder, 'new-site-a'), { ...forA, address }, stack);
    },
  };
}

/** Like `Promise.all`, but what goes on has ended before a failure is told: the clean-up must not race with it. */
async function allEnded<const T extends readonly Promise<unknown>[]>(
  work: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
