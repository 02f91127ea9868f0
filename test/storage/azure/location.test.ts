import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findCredentials } from '../../../src/storage/azure/credentials.ts';
import { azurePlaceOf, parseAzureLocation } from '../../../src/storage/azure/location.ts';
import { createAzureStore } from '../../../src/storage/azure/store.ts';

const MiB = 1024 * 1024;
const key = Buffer.alloc(64, 1).toString('base64');

function thrownBy(step: () => unknown): { code?: string; message: string; hint: string } {
  try {
    step();
  } catch (error) {
    return error as ReturnType<typeof thrownBy>;
  }
  throw new Error('Nothing was thrown.');
}

describe('the URL of an Azure store', () => {
  it('tells whether two are one place', () => {
    const place = (text: string) => azurePlaceOf(parseAzureLocation(text));
    expect(place('azure://backups1/site-backups/a/?parallel=5')).toBe(
      place('azure://backups1/site-backups/a'),
    );
    for (const other of [
      'azure://backups2/site-backups/a',
      'azure://backups1/site-backups',
      'azure://backups1/others/a',
    ])
      expect(place(other)).not.toBe(place('azure://backups1/site-backups/a'));
  });

  it('names account, container and prefix', () => {
    expect(parseAzureLocation('azure://backups1/site-backups/site-1/a')).toEqual({
      account: 'backups1',
      container: 'site-backups',
      prefix: 'site-1/a/',
      endpoint: undefined,
      caFile: undefined,
      blockBytes: 16 * MiB,
      parallel: 3,
      presign: false,
    });
  });

  it('has an endpoint and every option', () => {
    const url =
      'azure://backups1/site-backups/?endpoint=https://blob.example.org:9000/backups1/&ca_file=/etc/ca.pem&block_size=64&parallel=8&presign=true';
    expect(parseAzureLocation(url)).toEqual({
      account: 'backups1',
      container: 'site-backups',
      prefix: '',
      endpoint: 'https://blob.example.org:9000/backups1',
      caFile: '/etc/ca.pem',
      blockBytes: 64 * MiB,
      parallel: 8,
      presign: true,
    });
  });

  it.each([
    ['no account', 'azure:///container', /names no account/],
    ['no container', 'azure://backups1', /names no container/],
    ['no container but a slash', 'azure://backups1/?parallel=2', /names no container/],
    ['no URL at all', 'azure', /cannot be read/],
    [
      'an account that is a host',
      'azure://backups1.blob.core.windows.net/c',
      /cannot be the name of a storage/,
    ],
    ['an account with a hyphen', 'azure://backups-1/container', /cannot be the name of a storage account/],
    ['a container with capitals', 'azure://backups1/Container', /cannot be the name of a container/],
    ['a container with two hyphens', 'azure://backups1/a--b', /cannot be the name of a container/],
    ['a container that is too short', 'azure://backups1/ab', /cannot be the name of a container/],
    ['a prefix that leads out', 'azure://backups1/container/a/../b', /cannot be the prefix/],
    ['a prefix that leads out of the container', 'azure://backups1/../container', /name of a container/],
    ['a prefix with an empty part', 'azure://backups1/container/a//b', /cannot be the prefix/],
    ['a prefix with a dot in front', 'azure://backups1/container/.a', /cannot be the prefix/],
    ['an unknown option', 'azure://backups1/container?part_size=8', /no option "part_size"/],
    ['an option twice', 'azure://backups1/container?parallel=1&parallel=2', /given twice/],
    ['an endpoint without scheme', 'azure://backups1/container?endpoint=h.example', /not an http\(s\) URL/],
    ['an endpoint with a query', 'azure://backups1/container?endpoint=http://h/%3Fa=b', /more than a host/],
    ['a port at the account', 'azure://backups1:10000/container', /has a port/],
    [
      'certificates for http',
      'azure://backups1/container?endpoint=http://h&ca_file=/a.pem',
      /endpoint that is http/,
    ],
    ['certificates by relative path', 'azure://backups1/container?ca_file=a.pem', /not an absolute path/],
    ['a flag that is none', 'azure://backups1/container?presign=yes', /presign is "yes"/],
    ['blocks that are too large', 'azure://backups1/container?block_size=4001', /block_size is "4001"/],
    ['no parallel block', 'azure://backups1/container?parallel=0', /parallel is "0"/],
  ])('is refused with %s', (_, url, message) => {
    const error = thrownBy(() => parseAzureLocation(url));
    expect(error).toMatchObject({ code: 'Misconfigured', message: expect.stringMatching(message) });
    expect(error.hint).toMatch(/docs\/stores\/azure\.md/);
  });

  it.each([
    'azure://backups1:geheim@backups1/container',
    'azure://backups1/container?sv=2024&sig=geheim',
    'azure://backups1/container?endpoint=https://a:geheim@host',
    'azure://backups1/container?endpoint=https://host/%3Fsig=geheim',
  ])('is refused with credentials, which are not repeated: %s', (url) => {
    const { message, hint } = thrownBy(() => parseAzureLocation(url));
    expect(hint).toMatch(/AZURE_STORAGE_SAS_TOKEN/);
    expect(`${message} ${hint}`).not.toContain('geheim');
  });

  it('names certificates that are there and are some', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'forestay-ca-'));
    const file = join(folder, 'ca.pem');
    const access = { kind: 'key', secret: key, endpoint: undefined } as const;
    const location = parseAzureLocation(`azure://backups1/container?ca_file=${file}`);
    try {
      expect(() => createAzureStore({ location, access })).toThrow(/cannot be read/);
      await writeFile(file, 'not a certificate');
      expect(() => createAzureStore({ location, access })).toThrow(/holds no certificate/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('the credentials of an Azure store', () => {
  const find = (env: Record<string, string>) => findCredentials('backups1', env);
  const sas = 'sv=2024-11-04&ss=b&srt=co&sp=rwdlac&sig=abc%3D';

  it('are the account key, or a signature with or without its question mark', () => {
    expect(find({ AZURE_STORAGE_KEY: key })).toEqual({ kind: 'key', secret: key, endpoint: undefined });
    for (const text of [sas, `?${sas}\n`])
      expect(find({ AZURE_STORAGE_SAS_TOKEN: text })).toEqual({
        kind: 'sas',
        secret: sas,
        endpoint: undefined,
      });
  });

  it('are in a connection string, which also says where the account is', () => {
    const find1 = (text: string) => find({ AZURE_STORAGE_CONNECTION_STRING: text });
    expect(
      find1(
        `DefaultEndpointsProtocol=https;AccountName=backups1;AccountKey=${key};EndpointSuffix=core.cloudapi.de`,
      ),
    ).toEqual({ kind: 'key', secret: key, endpoint: 'https://backups1.blob.core.cloudapi.de' });
    expect(
      find1(`BlobEndpoint=http://127.0.0.1:10000/backups1;AccountName=backups1;AccountKey=${key};`),
    ).toMatchObject({ endpoint: 'http://127.0.0.1:10000/backups1' });
    expect(find1(`BlobEndpoint=https://backups1.example.org/;SharedAccessSignature=${sas}`)).toEqual({
      kind: 'sas',
      secret: sas,
      endpoint: 'https://backups1.example.org',
    });
  });

  it('come from the variables of the account first, then connection string, key and signature', () => {
    const other = Buffer.alloc(64, 2).toString('base64');
    const all = { AZURE_STORAGE_KEY: key, AZURE_STORAGE_SAS_TOKEN: sas, AZURE_STORAGE_ACCOUNT: 'backups1' };
    expect(find(all).secret).toBe(key);
    expect(find({ ...all, AZURE_STORAGE_KEY_BACKUPS1: other }).secret).toBe(other);
    expect(find({ ...all, AZURE_STORAGE_KEY_BACKUPS2: other }).secret).toBe(key);
    expect(find({ ...all, AZURE_STORAGE_KEY: '' }).kind).toBe('sas');
    const elsewhere = { ...all, AZURE_STORAGE_ACCOUNT: 'backups2', AZURE_STORAGE_KEY_BACKUPS1: other };
    expect(find(elsewhere).secret).toBe(other);
  });

  it.each([
    ['none', {}, /no credentials for the storage account backups1/],
    ['a key that is none', { AZURE_STORAGE_KEY: 'geheim!' }, /holds no account key/],
    ['a signature that is none', { AZURE_STORAGE_SAS_TOKEN: 'geheim' }, /no shared access signature/],
    [
      'a signature with its URL',
      { AZURE_STORAGE_SAS_TOKEN: 'https://geheim/c#?sig=geheim' },
      /no shared access signature/,
    ],
    [
      'another account',
      { AZURE_STORAGE_ACCOUNT: 'backups2', AZURE_STORAGE_KEY: key },
      /AZURE_STORAGE_ACCOUNT names another/,
    ],
    [
      'the connection string of another account',
      { AZURE_STORAGE_CONNECTION_STRING: 'AccountName=backups2;AccountKey=geheim' },
      /CONNECTION_STRING names another/,
    ],
    [
      'a connection string without a key',
      { AZURE_STORAGE_CONNECTION_STRING: 'UseDevelopmentStorage=true;geheim=geheim' },
      /neither an AccountKey nor/,
    ],
  ])('are refused: %s', (_, env, message) => {
    const error = thrownBy(() => find(env as Record<string, string>));
    expect(error).toMatchObject({ code: 'Misconfigured', message: expect.stringMatching(message) });
    expect(error.hint).toMatch(/docs\/stores\/azure\.md/);
    expect(`${error.message} ${error.hint}`).not.toContain('geheim');
  });
});
