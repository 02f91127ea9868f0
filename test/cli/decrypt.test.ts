import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Manifest } from '../../src/core/manifest.ts';
import { encodeA9s } from '../../src/pipeline/a9s.ts';
import { freshKeys } from '../../src/pipeline/fresh-keys.ts';
import { sealData } from '../../src/pipeline/seal.ts';
import { encodeManifest, signManifest } from '../../src/pipeline/signature.ts';
import { backup, backupGuid, guid } from './fake-site.ts';
import { run, temporaryFolder } from './run.ts';

const passphrase = 'correct horse battery staple';
const plain = Buffer.concat([Buffer.from('a dump\n'.repeat(50_000)), randomBytes(100_000)]);
const never = new AbortController().signal;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());

const put = (name: string, content: Uint8Array | string) => writeFile(path.join(folder.path, name), content);
const got = (name: string) => readFile(path.join(folder.path, name));
const decrypt = (...args: string[]) =>
  run(['decrypt', ...args], { cwd: folder.path, stdin: `${passphrase}\n` });

/** The two objects of a stored backup. */
async function stored(
  compression: Manifest['compression'] = 'zstd',
): Promise<{ data: Buffer; manifest: Buffer }> {
  const sealed = await sealData({
    source: Readable.from([plain]),
    fresh: freshKeys(passphrase),
    compression,
    signal: never,
  });
  const data = await buffer(sealed.stored);
  const facts = sealed.facts();
  const time = backup.finished_at;
  const unsigned = {
    ...facts,
    format: 1 as const,
    site_id: guid,
    id: 7,
    backup_id: backup.backup_id,
    backup_guid: backupGuid,
    instance_id: guid,
    instance_name: 'orders',
    engine: 'postgresql',
    engine_version: '15.18',
    tool: { name: 'pg_dump', version: '15.18' },
    media_type: 'application/octet-stream',
    suffix: '.dump',
    engine_details: {},
    triggered_at: time,
    started_at: time,
    finished_at: time,
    key_version: 1,
    key_set_by: 'user' as const,
    data: { name: 'data', ...facts.data },
    sealed_key: '',
  };
  return { data, manifest: encodeManifest(signManifest(unsigned, sealed.keys)) };
}

test('opens what V1 downloads deliver, also as openssl and gzip make it', async () => {
  await put('ours.gz.enc', await buffer(encodeA9s(Readable.from([plain]), passphrase, never)));
  const result = await decrypt('ours.gz.enc');
  expect(result).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ours \(/), stderr: '' });
  expect((await got('ours')).equals(plain)).toBe(true);

  await put('plain', plain);
  await put('key', passphrase);
  const make = 'gzip < plain | openssl enc -aes256 -md md5 -pass file:key -out theirs';
  await promisify(execFile)('sh', ['-c', make], { cwd: folder.path });
  expect(await decrypt('theirs', '--key-file', 'key', '--json')).toMatchObject({ code: 0 });
  expect((await got('theirs.plain')).equals(plain)).toBe(true);
});

test('opens the stored form with its manifest, and as it lies in a store', async () => {
  const { data, manifest } = await stored();
  await put('copy.zst.enc', data);
  await put('about.json', manifest);
  const result = await decrypt('copy.zst.enc', '--manifest', 'about.json', '--json');
  expect(JSON.parse(result.stdout)).toMatchObject({
    file: `${backup.backup_id}.dump`,
    size: plain.length,
    verified: true,
  });
  expect((await got(`${backup.backup_id}.dump`)).equals(plain)).toBe(true);

  await mkdir(path.join(folder.path, 'store'));
  await put('store/data', data);
  await put('store/manifest.json', manifest);
  expect(await decrypt('store/data', '--output', 'again')).toMatchObject({ code: 0, stderr: '' });
  expect((await got('again')).equals(plain)).toBe(true);
});

test('opens the stored form without manifest too, and says what that is worth', async () => {
  await put('copy.zst.enc', (await stored()).data);
  const result = await decrypt('copy.zst.enc');
  expect(result).toMatchObject({ code: 0, stderr: expect.stringContaining('Without --manifest') });
  expect((await got('copy')).equals(plain)).toBe(true);
  await put('raw', (await stored('none')).data);
  expect(await decrypt('raw')).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('--compression none'),
  });
  expect(await decrypt('raw', '--form', 'stored', '--compression', 'none')).toMatchObject({ code: 0 });
  expect((await got('raw.plain')).equals(plain)).toBe(true);
});

test('a wrong key, damage and a missing end leave no file (promise: damage is noticed)', async () => {
  const { data, manifest } = await stored();
  const changed = Buffer.from(data);
  changed[200_000 % data.length] = (changed[200_000 % data.length] ?? 0) ^ 1;
  await put('changed', changed);
  await put('short', data.subarray(0, -1));
  await put('whole', data);
  await put('about.json', manifest);
  await put('none', 'no backup');
  const before = await readdir(folder.path);
  expect(await decrypt('changed', '--manifest', 'about.json')).toMatchObject({ code: 1 });
  expect(await decrypt('short', '--manifest', 'about.json')).toMatchObject({ code: 1 });
  expect(await decrypt('short')).toMatchObject({ code: 1, stderr: expect.stringContaining('damaged') });
  expect(await decrypt('none')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('not an encrypted backup'),
  });
  expect(await decrypt('absent')).toMatchObject({ code: 1, stderr: expect.stringContaining('absent') });
  for (const args of [['whole'], ['whole', '--manifest', 'about.json']]) {
    const wrong = await run(['decrypt', ...args], { cwd: folder.path, stdin: 'another key\n' });
    expect(wrong).toMatchObject({ code: 4, stdout: '' });
    expect(wrong.stderr).not.toContain('another key');
  }
  expect(await readdir(folder.path)).toEqual(before);
});
