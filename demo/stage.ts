import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { DemoServer } from './dataset.ts';
import type { Narrator } from './narrate.ts';
import type { Options } from './options.ts';
import { type DemoSite, startDemoSite } from './site.ts';
import type { StoreLayout } from './stores/layout.ts';

/** Everything the story plays with. What it starts is ended, and what it writes deleted, by the stack it was given. */
export interface Stage {
  /** Where downloads and the key lie, in a temp folder of its own. */
  readonly folder: string;
  readonly keyFile: string;
  readonly key: string;
  readonly stores: StoreLayout;
  /** Site A with the instance that has the data; site B, far away, with an empty one. */
  readonly a: { readonly site: DemoSite; readonly server: DemoServer };
  readonly b: { readonly site: DemoSite; readonly server: DemoServer };
  /** Builds a new, empty site A at the address of the old one. */
  rebuildA(): Promise<DemoSite>;
}

export async function setStage(
  { dataset, stores: storeKind, size }: Pick<Options, 'dataset' | 'stores' | 'size'>,
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
  const startServer = async () => {
    const server = await dataset.startServer();
    stack.defer(() => server.destroy());
    return server;
  };
  const [serverA, serverB, stores] = await narrator.during('Starting private servers', () =>
    allEnded([startServer(), startServer(), storeKind.open(folder, stack)]),
  );
  signal.throwIfAborted();

  const forA = { stores: stores.a, settings: { ...serverA.siteSettings, ...stores.env }, signal };
  const forB = { stores: stores.b, settings: { ...serverB.siteSettings, ...stores.env }, signal };
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
    stores,
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
