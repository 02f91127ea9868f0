import { ForestayError } from '../../core/errors.ts';
import { isKey } from '../../core/object-key.ts';

/** A container, how it is reached, and how it is used: everything the URL of a store says. */
export interface AzureLocation {
  readonly account: string;
  readonly container: string;
  /** Empty, or ends with a slash. Everything below it belongs to the store. */
  readonly prefix: string;
  /** Of the account's blob service. Undefined: that of the connection string, or of the public cloud. */
  readonly endpoint: string | undefined;
  /** A file of PEM certificates that are trusted beside the usual ones. */
  readonly caFile: string | undefined;
  /** Bytes of one block of a large blob; Azure takes 50,000 of them for one blob. */
  readonly blockBytes: number;
  /** Blocks of one blob under way at a time. */
  readonly parallel: number;
  /** Whether users may be sent to the container: they must be able to reach its endpoint. */
  readonly presign: boolean;
}

const optionNames = ['endpoint', 'ca_file', 'block_size', 'parallel', 'presign'] as const;
type Option = (typeof optionNames)[number];

const MiB = 1024 * 1024;
const example = 'Example: azure://account/container/prefix';
const accountPattern = /^[a-z0-9]{3,24}$/;
const containerPattern = /^(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/;

/**
 * Reads `azure://account/container/prefix?endpoint=https://account.blob.core.windows.net`. Throws `Misconfigured` with a
 * sentence about what is wrong; the URL itself is not repeated, since somebody may have written credentials into it.
 */
export function parseAzureLocation(text: string): AzureLocation {
  const url = URL.parse(text);
  if (url?.protocol !== 'azure:') throw misconfigured('The URL of an Azure store cannot be read.', example);
  if (url.username !== '' || url.password !== '' || url.searchParams.has('sig')) {
    throw misconfigured(
      'The URL of an Azure store holds credentials.',
      'Remove them from the URL and set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN.',
    );
  }
  if (url.port !== '' || url.hash !== '') {
    throw misconfigured(
      'The URL of an Azure store has a port or a #.',
      'The host of the URL is the account; a server is named with ?endpoint=https://host:port/account',
    );
  }
  const options = readOptions(url.searchParams);
  const endpoint = readEndpoint(options.endpoint);
  return Object.freeze({
    account: readAccount(url.hostname),
    ...readPath(text),
    endpoint,
    caFile: readCaFile(options.ca_file, endpoint),
    blockBytes: readNumber('block_size', options.block_size, 16, 1, 4000, ' MiB') * MiB,
    parallel: readNumber('parallel', options.parallel, 3, 1, 32, ''),
    presign: readFlag('presign', options.presign, false),
  });
}

/** The same for the same place. Accounts have one name in all the world, but for those of emulators, where the endpoint counts. */
export function azurePlaceOf({ endpoint, account, container, prefix }: AzureLocation): string {
  return `azure ${endpoint ?? ''} ${account}/${container}/${prefix}`;
}

function readOptions(query: URLSearchParams): Partial<Record<Option, string>> {
  const options: Partial<Record<Option, string>> = {};
  for (const [name, value] of query) {
    const option = optionNames.find((known) => known === name);
    if (!option) {
      throw misconfigured(
        `An Azure store has no option "${name.slice(0, 40)}".`,
        `It has: ${optionNames.join(', ')}.`,
      );
    }
    if (options[option] !== undefined)
      throw misconfigured(`The option ${option} is given twice.`, 'Keep one of them.');
    options[option] = value;
  }
  return options;
}

function readAccount(account: string): string {
  if (account === '') throw misconfigured('The URL of an Azure store names no account.', example);
  if (accountPattern.test(account)) return account;
  throw misconfigured(
    `"${account.slice(0, 80)}" cannot be the name of a storage account.`,
    'It has 3 to 24 small letters and digits; the host of a server belongs into ?endpoint=https://…',
  );
}

/** From the text, because URL.parse resolves `..` away: what the operator wrote would then be something else. */
function readPath(text: string): { container: string; prefix: string } {
  const [, container = '', rest = ''] = /^azure:\/\/[^/?#]*\/?([^/?#]*)\/?([^?#]*)/i.exec(text) ?? [];
  if (container === '') throw misconfigured('The URL of an Azure store names no container.', example);
  if (!containerPattern.test(container)) {
    throw misconfigured(
      `"${container.slice(0, 80)}" cannot be the name of a container.`,
      'It has 3 to 63 small letters, digits and hyphens, no two hyphens in a row, none at an end.',
    );
  }
  const prefix = rest.replace(/\/$/, '');
  if (prefix === '') return { container, prefix: '' };
  if (!isKey(prefix) || prefix.length > 400) {
    throw misconfigured(
      `"${prefix.slice(0, 80)}" cannot be the prefix of a store.`,
      'It is a path of letters, digits, ".", "_" and "-", without "..", without empty parts and not longer than 400; no part begins with a dot.',
    );
  }
  return { container, prefix: `${prefix}/` };
}

/** Also that of a connection string. */
export function readEndpoint(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.hostname === '') {
    throw misconfigured(
      'The endpoint of an Azure store is not an http(s) URL.',
      'Write the scheme too: endpoint=https://account.blob.core.windows.net or endpoint=http://127.0.0.1:10000/account',
    );
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw misconfigured(
      'The endpoint of an Azure store has more than a host, a port and a path.',
      'A shared access signature belongs into AZURE_STORAGE_SAS_TOKEN.',
    );
  }
  return url.href.replace(/\/+$/, '');
}

function readCaFile(text: string | undefined, endpoint: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (!text.startsWith('/'))
    throw misconfigured('ca_file is not an absolute path.', 'Example: ca_file=/etc/ssl/internal-ca.pem');
  if (endpoint?.startsWith('http:')) {
    throw misconfigured(
      'ca_file is given for an endpoint that is http, where no certificate is shown.',
      'Remove ca_file, or write endpoint=https://…',
    );
  }
  return text;
}

function readFlag(name: Option, text: string | undefined, fallback: boolean): boolean {
  if (text === undefined) return fallback;
  if (text === 'true' || text === 'false') return text === 'true';
  throw misconfigured(`The option ${name} is "${text.slice(0, 40)}".`, 'It must be true or false.');
}

function readNumber(
  name: Option,
  text: string | undefined,
  fallback: number,
  min: number,
  max: number,
  unit: string,
): number {
  if (text === undefined) return fallback;
  const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw misconfigured(
    `The option ${name} is "${text.slice(0, 40)}".`,
    `It must be a whole number from ${min} to ${max}${unit}.`,
  );
}

export function misconfigured(message: string, hint: string, cause?: unknown): ForestayError {
  return new ForestayError('Misconfigured', message, {
    hint: `${hint} docs/stores/azure.md describes the URL and the credentials.`,
    cause,
  });
}
