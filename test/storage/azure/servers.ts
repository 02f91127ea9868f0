import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import type { Repeat } from '../../../src/core/repeat.ts';
import type { AzureStoreOptions } from '../../../src/storage/azure/container.ts';
import type { AzureAccess } from '../../../src/storage/azure/credentials.ts';
import { parseAzureLocation } from '../../../src/storage/azure/location.ts';
import { createAzureStore } from '../../../src/storage/azure/store.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { startAzurite } from '../../support/azurite-server.ts';
import type { Fault, Rule } from '../../support/fault-proxy.ts';

export const containerName = 'forestay-test';
export const MiB = 1024 * 1024;

/** A real server with the container, and a client that is not ours. */
export interface AzuriteWithContainer {
  readonly endpoint: string;
  readonly account: string;
  readonly access: AzureAccess;
  readonly client: ContainerClient;
  /** The path of its URL. */
  readonly path: string;
  /** Names that have blocks nobody committed, or are placeholders; those below an object are not looked for. */
  remains(): Promise<string[]>;
  /** The bytes under a name, undefined when there is nothing. */
  bytesUnder(name: string): Promise<Buffer | undefined>;
  /** Removes everything. */
  empty(): Promise<void>;
  close(): Promise<void>;
}

export interface TestStoreOptions {
  readonly prefix?: string;
  /** More of the URL: `&presign=true`. */
  readonly more?: string;
  readonly repeat?: Repeat;
  readonly silenceMs?: number;
  readonly access?: AzureAccess;
  readonly pageSize?: number;
}

/** `origin`: where the server is reached, also through a proxy. Blocks of 5 MiB. */
export function storeOptions(
  server: AzuriteWithContainer,
  origin: string = new URL(server.endpoint).origin,
  options: TestStoreOptions = {},
): AzureStoreOptions {
  const { prefix = 'site', more = '', ...others } = options;
  const endpoint = encodeURIComponent(`${origin}${server.path}`);
  const location = parseAzureLocation(
    `azure://${server.account}/${containerName}/${prefix}?endpoint=${endpoint}&block_size=5${more}`,
  );
  return { location, access: server.access, ...others };
}

export function storeAt(
  server: AzuriteWithContainer,
  origin?: string,
  options: TestStoreOptions = {},
): ObjectStore {
  return createAzureStore(storeOptions(server, origin, options));
}

export async function startAzuriteWithContainer(): Promise<AzuriteWithContainer> {
  const { endpoint, account, key, stop } = await startAzurite();
  const credential = new StorageSharedKeyCredential(account, key);
  const client = new ContainerClient(`${endpoint}/${containerName}`, credential);
  try {
    await client.create();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoint,
    account,
    access: { kind: 'key', secret: key, endpoint: undefined },
    client,
    path: new URL(endpoint).pathname,
    async remains() {
      const names: string[] = [];
      for await (const { name, properties, metadata } of client.listBlobsFlat({
        includeUncommitedBlobs: true,
        includeMetadata: true,
      })) {
        if (metadata?.forestayplaceholder) names.push(`${name} (placeholder)`);
        if (properties.contentLength) continue;
        const { uncommittedBlocks = [] } = await client.getBlockBlobClient(name).getBlockList('uncommitted');
        if (uncommittedBlocks.length > 0) names.push(`${name} (${uncommittedBlocks.length} blocks)`);
      }
      return names;
    },
    async bytesUnder(name) {
      const blob = client.getBlobClient(name);
      return (await blob.exists()) ? blob.downloadToBuffer() : undefined;
    },
    async empty() {
      for await (const { name } of client.listBlobsFlat({ includeUncommitedBlobs: true })) {
        // Azurite keeps blocks that were to replace a blob when the blob is deleted.
        await client.getBlockBlobClient(name).commitBlockList([]);
        await client.deleteBlob(name);
      }
    },
    close: stop,
  };
}

/** An answer in the words of Azure. */
export function azureError(status: number, code: string, headers: Record<string, string> = {}): Fault {
  const body = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${code} it is</Message></Error>`;
  return { kind: 'answer', status, headers: { 'x-ms-error-code': code, ...headers }, body };
}

/** The first `times` requests of a kind. */
export function firstOf(kind: RegExp, times: number, fault: ReturnType<Rule>): Rule {
  let count = 0;
  return ({ method, url }) => (kind.test(`${method} ${url}`) && count++ < times ? fault : undefined);
}
