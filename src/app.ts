import { adminTokenProvider } from './auth/admin-token.ts';
import { storedTokenProvider } from './auth/stored-token.ts';
import type { Config } from './config.ts';
import { createCommandEngine } from './engines/command/engine.ts';
import type { Engine } from './engines/engine.ts';
import { createFilesEngine } from './engines/files/engine.ts';
import { createMariadbEngine } from './engines/mariadb/engine.ts';
import { createPostgresqlEngine } from './engines/postgresql/engine.ts';
import { createRabbitmqEngine } from './engines/rabbitmq/engine.ts';
import { createRedisEngine } from './engines/redis/engine.ts';
import { createSqliteEngine } from './engines/sqlite/engine.ts';
import type { Adapters, OpenedStore, OpenOptions } from './site/adapters.ts';
import { checkSiteCatalog, rebuildSiteCatalog } from './site/catalog.ts';
import { examineSite } from './site/examine.ts';
import { migrateSite } from './site/migrate.ts';
import { startSite } from './site/start.ts';
import { storeMisconfigured } from './site/stores.ts';
import { azurePlaceOf, parseAzureLocation } from './storage/azure/location.ts';
import { prepareFilesystemStore } from './storage/filesystem/prepare.ts';
import { createFilesystemStore } from './storage/filesystem/store.ts';
import { retrying } from './storage/retry.ts';
import { parseS3Location, s3PlaceOf } from './storage/s3/location.ts';

/**
 * The composition root: the only file that names every concrete engine, store and identity provider. Adding one is a line
 * here.
 */
const adapters: Adapters = {
  makeEngines,
  storeKinds: [
    { scheme: 'file', example: 'file:/path', open: openFilesystem },
    { scheme: 's3', example: 's3://bucket/prefix', open: openS3 },
    { scheme: 'azure', example: 'azure://account/container/prefix', open: openAzure },
  ],
  makeIdentityProviders: ({ adminToken }, { kysely }) => [
    adminTokenProvider(adminToken),
    storedTokenProvider(kysely),
  ],
};

/** What can be done with a site. */
export const site = {
  startSite: startSite.bind(undefined, adapters),
  migrateSite,
  examine: examineSite.bind(undefined, adapters),
  rebuildSiteCatalog: rebuildSiteCatalog.bind(undefined, adapters),
  checkSiteCatalog: checkSiteCatalog.bind(undefined, adapters),
};

export function makeEngines(config: Config): readonly Engine[] {
  return [
    createPostgresqlEngine({ toolDirs: config.toolDirs }),
    createMariadbEngine({ toolDirs: config.toolDirs }),
    createFilesEngine({ roots: config.filesRoots, forbidden: ownFolders(config) }),
    createCommandEngine({ file: config.commandsFile }),
    createSqliteEngine({ roots: config.filesRoots, forbidden: ownFolders(config) }),
    createRedisEngine(),
    createRabbitmqEngine(),
  ];
}

/** What no instance may be, hold or lie in. */
function ownFolders({ dataDir, store, secondaryStores }: Config): string[] {
  return [dataDir, ...[store, ...secondaryStores].flatMap((url) => folderOf(url) ?? [])];
}

/** Of a store that is a folder. */
function folderOf(url: string): string | undefined {
  return url.startsWith('file:') ? url.slice('file:'.length).replace(/^\/\/(?=\/)/, '') : undefined;
}

async function openFilesystem(url: string): Promise<OpenedStore> {
  const root = folderOf(url) ?? '';
  if (!root.startsWith('/'))
    throw storeMisconfigured(
      'A file: store needs an absolute path, for example file:/var/lib/forestay/store.',
    );
  return {
    store: createFilesystemStore({ root }),
    async look(knownId) {
      const { id } = await prepareFilesystemStore(root, knownId === undefined ? {} : { expectedId: knownId });
      return { id, findings: [] };
    },
  };
}

async function openS3(url: string, { signal, repeat, lookRepeat }: OpenOptions): Promise<OpenedStore> {
  const location = parseS3Location(url);
  // Only where it is used: the SDK is large.
  const { examineS3Store } = await import('./storage/s3/prepare.ts');
  const { createS3Store } = await import('./storage/s3/store.ts');
  return {
    store: retrying(createS3Store({ location, repeat }), repeat),
    place: s3PlaceOf(location),
    look: async () => ({ findings: await examineS3Store({ location, repeat: lookRepeat }, signal) }),
  };
}

async function openAzure(url: string, { signal, repeat, lookRepeat }: OpenOptions): Promise<OpenedStore> {
  const location = parseAzureLocation(url);
  const { examineAzureStore } = await import('./storage/azure/prepare.ts');
  const { createAzureStore } = await import('./storage/azure/store.ts');
  return {
    store: retrying(createAzureStore({ location, repeat }), repeat),
    place: azurePlaceOf(location),
    look: async () => ({ findings: await examineAzureStore({ location, repeat: lookRepeat }, signal) }),
  };
}
