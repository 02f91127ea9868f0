import { readFileSync } from 'node:fs';
import type { BlockBlobClient, ContainerClient } from '@azure/storage-blob';
import { ForestayError } from '../../core/errors.ts';
import { once, type Repeat } from '../../core/repeat.ts';
import { orAborted } from '../../pipeline/until-aborted.ts';
import { makeClient } from './client.ts';
import { type AzureAccess, findCredentials } from './credentials.ts';
import { storeError } from './errors.ts';
import { type AzureLocation, misconfigured } from './location.ts';

export interface AzureStoreOptions {
  readonly location: AzureLocation;
  /** For steps within a call that nobody outside can repeat: blocks of a put, pages of a list, the rest of a get. */
  readonly repeat?: Repeat;
  /** Default: from the AZURE_STORAGE_… variables. */
  readonly access?: AzureAccess;
  /** Milliseconds that the store may be silent. Default: 60,000. */
  readonly silenceMs?: number;
  /** Names asked for at a time. Default: 5,000, which is also what Azure gives at most. */
  readonly pageSize?: number;
}

/** What all calls of one store share. */
export interface Container {
  readonly client: ContainerClient;
  readonly location: AzureLocation;
  /** Of the account's blob service. */
  readonly endpoint: string;
  /** For people, without credentials. */
  readonly name: string;
  readonly repeat: Repeat;
  readonly silenceMs: number;
  readonly pageSize: number;
  /** By how many milliseconds the server was ahead at its last answer. */
  readonly clock: { skewMs: number };
  /** Puts with blocks that this process is at: they are not abandoned, however old. */
  readonly puts: Set<string>;
  /** Puts that must not run at the same time, by key. */
  readonly turns: Map<string, Promise<void>>;
  close(): void;
}

/** Throws `Misconfigured` for credentials and certificates that cannot be right. */
export function openContainer(options: AzureStoreOptions): Container {
  const { location } = options;
  const access = options.access ?? findCredentials(location.account);
  const endpoint =
    location.endpoint ?? access.endpoint ?? `https://${location.account}.blob.core.windows.net`;
  if (location.presign && access.kind !== 'key') {
    throw misconfigured(
      'presign=true needs the key of the storage account, which signs the URLs.',
      'Remove presign=true, or set AZURE_STORAGE_KEY.',
    );
  }
  const clock = { skewMs: 0 };
  const onSkew = (ms: number) => {
    clock.skewMs = ms;
  };
  const ca = location.caFile === undefined ? undefined : readCertificates(location.caFile);
  const client = makeClient(location, { access, endpoint, ca, onSkew });
  return {
    client: client.container,
    location,
    endpoint,
    name: `azure://${location.account}/${location.container}/${location.prefix} (${endpoint})`,
    repeat: options.repeat ?? once,
    silenceMs: options.silenceMs ?? 60_000,
    pageSize: options.pageSize ?? 5_000,
    clock,
    puts: new Set(),
    turns: new Map(),
    close: client.close,
  };
}

/** The SDK's client for one object. */
export function blobOf({ client, location }: Container, key: string): BlockBlobClient {
  return client.getBlockBlobClient(location.prefix + key);
}

export interface RequestOptions {
  readonly signal: AbortSignal;
  /** Bytes that are sent: each 15 MiB of them are allowed as long as the silence again, 4 seconds a MiB by default. */
  readonly bytes?: number;
  /** Milliseconds, in place of the usual silence. */
  readonly limitMs?: number;
}

/**
 * Makes one request, which ends with its answer, at once with the reason of the signal, or with `StoreTimeout`. Errors are
 * translated, but for those that `expected` makes an answer of.
 */
export async function request<T, E extends string | number | boolean | undefined = undefined>(
  container: Container,
  { signal, bytes = 0, limitMs = container.silenceMs }: RequestOptions,
  send: (abortSignal: AbortSignal) => Promise<T>,
  expected: (error: unknown) => E | undefined = () => undefined,
): Promise<T | Exclude<E, undefined>> {
  signal.throwIfAborted();
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(tooSlow(container)), limitMs * (1 + bytes / (15 * 1024 * 1024)));
  const ended = AbortSignal.any([signal, limit.signal]);
  try {
    return await orAborted(send(ended), ended);
  } catch (error) {
    // An answer that the SDK does not take may still be on its way.
    limit.abort(error);
    signal.throwIfAborted();
    const answer = expected(error);
    if (answer !== undefined) return answer as Exclude<E, undefined>;
    throw storeError(container.name, error, container.clock.skewMs);
  } finally {
    clearTimeout(timer);
  }
}

function tooSlow(container: Container): ForestayError {
  return new ForestayError('StoreTimeout', `The store ${container.name} did not answer in time.`, {
    hint: 'Check the network and the load of the store; fewer parallel blocks (parallel=1) help slow links.',
  });
}

function readCertificates(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw misconfigured(
      `The certificates in ${file} cannot be read.`,
      'Correct ca_file in the URL of the store, or who may read the file.',
      cause,
    );
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw misconfigured(
    `The file ${file} holds no certificate.`,
    'ca_file names a file of PEM certificates ("-----BEGIN CERTIFICATE-----").',
  );
}
