import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { storeError } from '../../../src/storage/filesystem/errors.ts';
import { prepareFilesystemStore } from '../../../src/storage/filesystem/prepare.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { abandoned, bytesOf, generated, inChunks, keysOf, never } from '../../contract/store-data.ts';
import { makeTempStore, openFilesBelow } from './temp-store.ts';
import { mountTmpfs, whyNoTmpfs } from './tmpfs.ts';

const MiB = 1024 * 1024;
const small = () => inChunks(Buffer.from('bytes'));
const unavailable = { code: 'StoreUnavailable', retryable: true, hint: expect.stringContaining('mounted') };
const noTmpfs = whyNoTmpfs();

async function expectUnavailable(store: ObjectStore): Promise<void> {
  await expect(store.put('a/b', small(), { signal: never })).rejects.toMatchObject(unavailable);
  await expect(store.get('old/x', { signal: never })).rejects.toMatchObject(unavailable);
  await expect(store.head('old/x', never)).rejects.toMatchObject(unavailable);
  await expect(keysOf(store.list('', never))).rejects.toMatchObject(unavailable);
  await expect(store.delete(['old/x'], never)).rejects.toMatchObject(unavailable);
  await expect(store.removeAbandonedPuts!(abandoned())).rejects.toMatchObject(unavailable);
}

/** A source that hands over to `meanwhile` half-way. */
async function* interrupted(meanwhile: () => Promise<void>): AsyncGenerator<Uint8Array> {
  yield* generated(4 * MiB);
  await meanwhile();
  yield* generated(4 * MiB);
}

describe('a directory store whose folder is away', () => {
  it('says so in every call, creates nothing, and works again when it is back', async () => {
    await using temp = await makeTempStore();
    await temp.store.put('old/x', small(), { signal: never });
    await rename(temp.root, `${temp.root}-away`);
    await expectUnavailable(temp.store);
    await expect(readdir(temp.root)).rejects.toThrow('ENOENT');
    await rename(`${temp.root}-away`, temp.root);
    expect(await keysOf(temp.store.list('', never))).toEqual(['old/x']);
  });

  it('does not take a bare mount point for an empty store', async () => {
    await using temp = await makeTempStore();
    await temp.store.put('old/x', small(), { signal: never });
    await rename(temp.root, `${temp.root}-away`);
    await mkdir(temp.root);
    await expectUnavailable(temp.store);
    expect(await readdir(temp.root)).toEqual([]);
  });

  it.each(['nothing', 'a bare mount point'])('fails a put under way that finds %s there', async (left) => {
    await using temp = await makeTempStore();
    const source = interrupted(async () => {
      await rename(temp.root, `${temp.root}-away`);
      if (left !== 'nothing') await mkdir(temp.root);
    });
    await expect(temp.store.put('a/b', source, { signal: never })).rejects.toMatchObject(unavailable);
    if (left !== 'nothing') expect(await readdir(temp.root)).toEqual([]);
    expect(await openFilesBelow(`${temp.root}-away`)).toEqual([]);
    await rm(temp.root, { recursive: true, force: true });
    await rename(`${temp.root}-away`, temp.root);
    expect(await keysOf(temp.store.list('', never))).toEqual([]);
    // The temporary file could not be reached; it counts as abandoned.
    expect(await temp.store.removeAbandonedPuts!(abandoned())).toBe(1);
    expect(await temp.temps()).toEqual([]);
  });

  it('does not end a listing under way as if it were complete', async () => {
    await using temp = await makeTempStore();
    for (const letter of 'abcdef') await temp.store.put(`${letter}/x`, small(), { signal: never });
    const listing = async () => {
      let seen = 0;
      for await (const _ of temp.store.list('', never)) {
        if (seen++ === 0) await rename(temp.root, `${temp.root}-away`);
      }
    };
    await expect(listing()).rejects.toMatchObject(unavailable);
  });
});

describe.skipIf(noTmpfs)(`a directory store on a file system of its own${noTmpfs}`, () => {
  it('says that it is full, keeps what it has, leaves nothing, and takes objects again when there is space', async () => {
    await using disk = await mountTmpfs('8m');
    await using temp = await makeTempStore(disk.mountPoint);
    const old = Buffer.alloc(2 * MiB, 'o');
    await temp.store.put('a/old', inChunks(old), { signal: never });
    const full = { code: 'StoreFull', retryable: false, hint: expect.stringContaining('Free space') };
    for (const key of ['a/old', 'b/c/new']) {
      await expect(temp.store.put(key, generated(20 * MiB), { signal: never })).rejects.toMatchObject(full);
      expect(await temp.temps()).toEqual([]);
      expect(await temp.visible()).toEqual(['a']);
    }
    expect((await bytesOf(await temp.store.get('a/old', { signal: never }))).equals(old)).toBe(true);
    expect(await temp.store.put('b/c/new', generated(5 * MiB), { signal: never })).toEqual({ size: 5 * MiB });
  });

  it('notices at once that the disk is full, although its source is in no hurry', async () => {
    await using disk = await mountTmpfs('2m');
    await using temp = await makeTempStore(disk.mountPoint);
    async function* slow() {
      // No more than fits into the batches of a put: it does not find out by writing the next.
      yield* generated(2 * MiB);
      await new Promise(() => {});
    }
    await expect(temp.store.put('a', slow(), { signal: never })).rejects.toMatchObject({ code: 'StoreFull' });
  });

  it('says that it is read-only, and still gives what it has', async () => {
    await using disk = await mountTmpfs('8m');
    await using temp = await makeTempStore(disk.mountPoint);
    await temp.store.put('a/old', small(), { signal: never });
    await disk.remount('ro');
    const denied = { code: 'StoreDenied', retryable: false, hint: expect.stringContaining('read-write') };
    await expect(temp.store.put('a/new', small(), { signal: never })).rejects.toMatchObject(denied);
    await expect(temp.store.delete(['a/old'], never)).rejects.toMatchObject(denied);
    expect(await bytesOf(await temp.store.get('a/old', { signal: never }))).toHaveLength(5);
    expect(await keysOf(temp.store.list('', never))).toEqual(['a/old']);
  });

  it('that is unmounted under a put fails it, and fills nothing below the mount point', async () => {
    await using disk = await mountTmpfs('16m');
    await using temp = await makeTempStore(disk.mountPoint);
    const source = interrupted(() => disk.unmount());
    await expect(temp.store.put('a/b', source, { signal: never })).rejects.toMatchObject(unavailable);
    expect(await readdir(disk.mountPoint)).toEqual([]);
    await expect.poll(() => openFilesBelow(disk.mountPoint)).toEqual([]);
  });

  it('whose id is remembered is not set up anew on the bare mount point', async () => {
    await using disk = await mountTmpfs('1m');
    const { id } = await prepareFilesystemStore(disk.mountPoint);
    await disk.unmount();
    await expect(prepareFilesystemStore(disk.mountPoint, { expectedId: id })).rejects.toMatchObject(
      unavailable,
    );
    expect(await readdir(disk.mountPoint)).toEqual([]);
  });

  it('takes the lost+found of a fresh disk for nothing', async () => {
    await using disk = await mountTmpfs('1m');
    await mkdir(join(disk.mountPoint, 'lost+found'));
    await using temp = await makeTempStore(disk.mountPoint);
    expect(await keysOf(temp.store.list('', never))).toEqual([]);
  });
});

describe('errors of the operating system', () => {
  it.each([
    ...(['ENOSPC', 'EDQUOT', 'EFBIG'] as const).map((errno) => [errno, 'StoreFull'] as const),
    ...(['EACCES', 'EPERM', 'EROFS', 'ELOOP'] as const).map((errno) => [errno, 'StoreDenied'] as const),
    ...(['EIO', 'ESTALE', 'ETIMEDOUT', 'EMFILE', 'ENODEV'] as const).map(
      (errno) => [errno, 'StoreUnavailable'] as const,
    ),
    ...(['ENAMETOOLONG', 'EISDIR'] as const).map((errno) => [errno, 'BadRequest'] as const),
  ])('%s arrives as %s, with a hint', (errno, code) => {
    const error = Object.assign(new Error(errno), { code: errno, syscall: 'write' });
    expect(storeError('/store', error)).toMatchObject({
      code,
      hint: expect.stringMatching(/\w{3}/),
      cause: error,
    });
  });

  it('those of the source are nobody else’s: a pipe that breaks is no store that is unavailable', async () => {
    await using temp = await makeTempStore();
    const error = Object.assign(new Error('read ENOENT'), { code: 'ENOENT', syscall: 'read' });
    // biome-ignore lint/correctness/useYield: it fails before it has anything to give
    const source = (async function* (): AsyncGenerator<Uint8Array> {
      throw error;
    })();
    await expect(temp.store.put('a', source, { signal: never })).rejects.toBe(error);
  });
});
