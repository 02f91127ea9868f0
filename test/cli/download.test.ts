import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { backup, type FakeSite, fail, guid, startFakeSite } from './fake-site.ts';
import { run, start, temporaryFolder } from './run.ts';

const call = `GET /v1/instances/${guid}/backups/7/download`;
const content = randomBytes(3 * 1024 * 1024);
const done = { ...backup, size: content.length, sha256: createHash('sha256').update(content).digest('hex') };

let site: FakeSite;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeEach(async () => {
  site = await startFakeSite();
  folder = await temporaryFolder();
  site.on(`GET /v1/instances/${guid}/backups/7`, () => done);
});
afterEach(async () => {
  await site[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** Answers as the real one does, and breaks the connection after `most` bytes where that is less than the whole. */
function deliver(bytes: Buffer, most = bytes.length): void {
  const headersOf = (url: string) => {
    const stored = url.endsWith('?format=stored');
    return {
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="${backup.backup_id}.dump.${stored ? 'zst' : 'gz'}.enc"`,
      'x-forestay-open-with': stored
        ? "openssl enc -d -aes-256-ctr -pbkdf2 -iter 600000 -md sha256 -pass 'pass:KEY' | zstd -d"
        : "openssl enc -aes256 -md md5 -d -pass 'pass:KEY' | gunzip",
    };
  };
  site.on(call.replace('GET', 'HEAD'), ({ url }, response) => {
    response.writeHead(200, headersOf(url));
    response.end();
  });
  site.on(call, ({ url, headers }, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    response.writeHead(from > 0 ? 206 : 200, {
      ...headersOf(url),
      ...(url.endsWith('stored') && { 'content-length': bytes.length - from }),
      ...(from > 0 && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    });
    const piece = bytes.subarray(from, from + most);
    if (from + most >= bytes.length) response.end(piece);
    else response.write(piece, () => setTimeout(() => response.destroy(), 100));
  });
}

const download = (...args: string[]) =>
  run(['backup', 'download', guid, '7', ...args], { site, cwd: folder.path });

test('a download is a file of its owner alone, and comes with the commands that open it', async () => {
  deliver(content);
  const result = await download();
  const file = `${backup.backup_id}.dump.gz.enc`;
  expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining(`forestay decrypt ${file}`) });
  expect(result.stdout).toContain(
    `openssl enc -aes256 -md md5 -d -in ${file} | gunzip > ${backup.backup_id}.dump\n`,
  );
  expect(result.stdout).not.toContain('pass:');
  expect(await readdir(folder.path)).toEqual([file]);
  const saved = path.join(folder.path, file);
  expect((await readFile(saved)).equals(content)).toBe(true);
  expect((await stat(saved)).mode & 0o777).toBe(0o600);
});

test('a download that breaks half-way leaves no file, and fails', async () => {
  deliver(content, 1024 * 1024);
  const result = await download('--output', 'copy');
  expect(result).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('connection broke') });
  expect(await readdir(folder.path)).toEqual([]);
});

test('Ctrl-C during a download leaves no file either', async () => {
  site.on(call, (_request, response) => void response.write(content));
  const { child, result } = start(['backup', 'download', guid, '7'], { site, cwd: folder.path });
  await expect.poll(() => readdir(folder.path), { timeout: 10_000 }).toHaveLength(1);
  child.kill('SIGINT');
  expect(await result).toMatchObject({ code: 130, stdout: '' });
  expect(await readdir(folder.path)).toEqual([]);
});

test('a stored download that broke goes on from where it was, and is verified', async () => {
  deliver(content, 1024 * 1024);
  const first = await download('--stored', '-o', 'copy');
  expect(first).toMatchObject({ code: 1, stderr: expect.stringContaining('the same command goes on') });
  expect(await readdir(folder.path)).toEqual(['copy.part']);
  const arrived = (await stat(path.join(folder.path, 'copy.part'))).size;
  expect(arrived).toBeGreaterThan(0);
  deliver(content);
  const second = await download('--stored', '-o', 'copy');
  expect(second).toMatchObject({ code: 0, stderr: expect.stringContaining(`from byte ${arrived}`) });
  expect(site.requests.at(-1)?.headers).toMatchObject({
    range: `bytes=${arrived}-`,
    'if-range': `"${done.sha256}"`,
  });
  expect(await readdir(folder.path)).toEqual(['copy']);
  expect((await readFile(path.join(folder.path, 'copy'))).equals(content)).toBe(true);
  expect(second.stdout).toContain('-aes-256-ctr -pbkdf2 -iter 600000 -md sha256 -in copy | zstd -d');
});

test('a stored download whose bytes are not those of the backup gets no name (promise: damage is noticed)', async () => {
  const changed = Buffer.from(content);
  changed[1_000_000] = (changed[1_000_000] ?? 0) ^ 1;
  deliver(changed);
  const result = await download('--stored', '-o', 'copy', '--json');
  expect(result).toMatchObject({ code: 1, stdout: '' });
  expect(JSON.parse(result.stderr)).toMatchObject({ error: 'BackupDamaged' });
  expect(await readdir(folder.path)).toEqual([]);
});

test('a part that is whole already, or is of something else, is dealt with', async () => {
  deliver(content);
  await writeFile(path.join(folder.path, 'copy.part'), content);
  expect(await download('--stored', '-o', 'copy')).toMatchObject({ code: 0 });
  await writeFile(path.join(folder.path, 'other.part'), Buffer.alloc(content.length + 1));
  expect(await download('--stored', '-o', 'other')).toMatchObject({ code: 0 });
  expect((await readFile(path.join(folder.path, 'other'))).equals(content)).toBe(true);
});

test('a file that is there is replaced only by force', async () => {
  deliver(content);
  await writeFile(path.join(folder.path, 'copy'), 'precious');
  const refused = await download('-o', 'copy');
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('--force') });
  expect(site.requests.some((request) => request.call === call)).toBe(false);
  expect(await readFile(path.join(folder.path, 'copy'), 'utf8')).toBe('precious');
  const forced = await download('-o', 'copy', '--force', '--json');
  expect(JSON.parse(forced.stdout)).toMatchObject({ file: 'copy', size: content.length });
  expect((await readFile(path.join(folder.path, 'copy'))).equals(content)).toBe(true);
});

test('- writes to stdout nothing but the backup', async () => {
  const words = Buffer.from('the encrypted bytes\n'.repeat(20_000));
  deliver(words);
  expect(await download('-o', '-')).toEqual({ code: 0, stdout: words.toString(), stderr: '' });
  deliver(words, 1000);
  expect(await download('-o', '-')).toMatchObject({ code: 1, stderr: expect.stringContaining('not whole') });
});

test('a name that would lead elsewhere is not taken from the site', async () => {
  deliver(content);
  const sly = {
    'content-disposition': 'attachment; filename="../../.bashrc"',
    'x-forestay-open-with': 'rm -rf x',
  };
  site.on(call.replace('GET', 'HEAD'), (_request, response) => void response.writeHead(200, sly).end());
  const result = await download();
  expect(result).toMatchObject({ code: 0, stdout: expect.not.stringContaining('rm -rf') });
  expect(await readdir(folder.path)).toEqual([`${backup.backup_id}.enc`]);
});

test('a refusal of the site is told, and leaves nothing', async () => {
  site.on(call, (_request, response) => fail(response, 409, 'BackupNotDownloadable', 'No key was set.'));
  expect(await download()).toMatchObject({ code: 5, stderr: 'error: No key was set.\n' });
  expect(await readdir(folder.path)).toEqual([]);
});
