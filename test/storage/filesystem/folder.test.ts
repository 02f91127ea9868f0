import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { prepareFilesystemStore } from '../../../src/storage/filesystem/prepare.ts';
import { createFilesystemStore } from '../../../src/storage/filesystem/store.ts';
import { abandoned, bytesOf, inChunks, keysOf, never } from '../../contract/store-data.ts';
import { makeTempStore } from './temp-store.ts';

const small = () => inChunks(Buffer.from('bytes'));
const mode = async (path: string) => (await stat(path)).mode & 0o777;

describe('the folder of a directory store', () => {
  it('is readable to nobody else, whatever is put into it', async () => {
    await using temp = await makeTempStore();
    await temp.store.put('a/b/c', small(), { signal: never });
    expect(await mode(temp.root)).toBe(0o700);
    for (const folder of ['a', 'a/b', '.forestay-tmp'])
      expect(await mode(join(temp.root, folder))).toBe(0o700);
    for (const file of ['a/b/c', '.forestay-store']) expect(await mode(join(temp.root, file))).toBe(0o600);
  });

  it('holds objects as plain files, and no empty folders after a delete', async () => {
    await using temp = await makeTempStore();
    for (const key of ['a/b/c', 'a/b/d', 'a/e']) await temp.store.put(key, small(), { signal: never });
    expect(await readFile(join(temp.root, 'a/b/c'), 'utf8')).toBe('bytes');
    await temp.store.delete(['a/b/c'], never);
    expect(await readdir(join(temp.root, 'a'))).toEqual(['b', 'e']);
    await temp.store.delete(['a/b/d'], never);
    expect(await readdir(join(temp.root, 'a'))).toEqual(['e']);
    await temp.store.delete(['a/e'], never);
    expect(await temp.visible()).toEqual([]);
    expect(await temp.temps()).toEqual([]);
  });

  it('neither writes nor removes anything where a link stands in place of its temporary folder', async () => {
    await using temp = await makeTempStore();
    const elsewhere = await mkdtemp(join(tmpdir(), 'forestay-elsewhere-'));
    await writeFile(join(elsewhere, 'master.key'), 'not to be lost');
    await rm(join(temp.root, '.forestay-tmp'), { recursive: true, force: true });
    await symlink(elsewhere, join(temp.root, '.forestay-tmp'));
    const denied = { code: 'StoreDenied' };
    await expect(temp.store.removeAbandonedPuts?.(abandoned())).rejects.toMatchObject(denied);
    await expect(temp.store.put('a', small(), { signal: never })).rejects.toMatchObject(denied);
    expect(await readdir(elsewhere)).toEqual(['master.key']);
    await rm(elsewhere, { recursive: true });
  });

  it('may be reached through a symbolic link; links below it lead nowhere', async () => {
    await using temp = await makeTempStore();
    await using outside = await makeTempStore();
    await outside.store.put('secret', small(), { signal: never });
    await symlink(outside.root, join(temp.root, 'out'));
    await symlink(join(outside.root, 'secret'), join(temp.root, 'link'));
    const denied = { code: 'StoreDenied' };
    const { store } = temp;
    await expect(store.get('out/secret', { signal: never })).rejects.toMatchObject(denied);
    await expect(store.get('link', { signal: never })).rejects.toMatchObject(denied);
    await expect(store.head('out/secret', never)).rejects.toMatchObject(denied);
    await expect(store.delete(['out/secret'], never)).rejects.toMatchObject(denied);
    await expect(store.put('out/new', small(), { signal: never })).rejects.toMatchObject(denied);
    await expect(keysOf(store.list('out/', never))).rejects.toMatchObject(denied);
    expect(await store.head('link', never)).toBeUndefined();
    expect(await keysOf(store.list('', never))).toEqual([]);
    await store.put('link', small(), { signal: never });
    expect(await keysOf(outside.store.list('', never))).toEqual(['secret']);
    expect(await temp.temps()).toEqual([]);

    await symlink(temp.root, `${temp.root}-link`);
    expect(await keysOf(createFilesystemStore({ root: `${temp.root}-link` }).list('', never))).toEqual([
      'link',
    ]);
  });

  it('may hold a pipe: that is no object, and nobody waits for it', async () => {
    await using temp = await makeTempStore();
    execFileSync('mkfifo', [join(temp.root, 'pipe')]);
    await expect(temp.store.get('pipe', { signal: never })).rejects.toMatchObject({ code: 'ObjectMissing' });
    expect(await keysOf(temp.store.list('', never))).toEqual([]);
  });

  it('cannot hold an object below an object, nor one in place of a folder, and says so', async () => {
    await using temp = await makeTempStore();
    await temp.store.put('a/b', small(), { signal: never });
    for (const key of ['a', 'a/b/c']) {
      for (const ifAbsent of [false, true]) {
        const putting = temp.store.put(key, small(), { signal: never, ifAbsent });
        await expect(putting).rejects.toMatchObject({ code: 'BadRequest' });
      }
    }
    expect(await keysOf(temp.store.list('', never))).toEqual(['a/b']);
    expect(await temp.temps()).toEqual([]);
  });

  it('gives a whole old object to who opened it before it was replaced or deleted', async () => {
    await using temp = await makeTempStore();
    await temp.store.put('a', inChunks(Buffer.alloc(4_000_000, 'o')), { signal: never });
    const streams = [
      await temp.store.get('a', { signal: never }),
      await temp.store.get('a', { signal: never }),
    ];
    await temp.store.put('a', small(), { signal: never });
    const replaced = await bytesOf(streams[0]!);
    await temp.store.delete(['a'], never);
    expect(replaced.equals(Buffer.alloc(4_000_000, 'o'))).toBe(true);
    expect((await bytesOf(streams[1]!)).equals(replaced)).toBe(true);
  });

  it('notices that somebody cuts a file while it is read', async () => {
    await using temp = await makeTempStore();
    await temp.store.put('a', inChunks(Buffer.alloc(4_000_000)), { signal: never });
    const stream = await temp.store.get('a', { signal: never });
    await writeFile(join(temp.root, 'a'), 'short');
    await expect(bytesOf(stream)).rejects.toMatchObject({ code: 'BackupDamaged' });
  });

  it('keeps puts whole while deletes take their folders away', async () => {
    await using temp = await makeTempStore();
    let running = true;
    const deleting = (async () => {
      while (running) await temp.store.delete(['a/b/c/other', 'a/b/c/gone'], never);
    })();
    const putting = async (name: string, ifAbsent: boolean) => {
      for (let round = 0; round < 150; round++) {
        await temp.store.put(`a/b/c/${name}`, small(), { signal: never, ifAbsent });
        if (name !== 'other') await temp.store.delete([`a/b/c/${name}`], never);
      }
    };
    await Promise.all([putting('mine', false), putting('yours', true), putting('other', false)]);
    running = false;
    await deleting;
    await temp.store.put('a/b/c/last', small(), { signal: never });
    await temp.store.delete(['a/b/c/other'], never);
    expect(await keysOf(temp.store.list('', never))).toEqual(['a/b/c/last']);
    expect(await temp.temps()).toEqual([]);
  });

  it('lists what stays while other objects come and go', async () => {
    await using temp = await makeTempStore();
    const stay = Array.from({ length: 300 }, (_, index) => `stay/${index % 10}/${index}`);
    for (const key of stay) await temp.store.put(key, small(), { signal: never });
    let running = true;
    const churn = (async () => {
      for (let round = 0; running; round++) {
        const keys = [`stay/${round % 10}/x${round}`, `go/${round}/x`];
        for (const key of keys) await temp.store.put(key, small(), { signal: never });
        await temp.store.delete(keys, never);
      }
    })();
    for (let round = 0; round < 5; round++) {
      const found = new Set(await keysOf(temp.store.list('', never)));
      expect(stay.filter((key) => !found.has(key))).toEqual([]);
    }
    running = false;
    await churn;
  });
});

describe('setting a directory store up', () => {
  const inTemp = async (test: (folder: string) => Promise<void>) => {
    const folder = await mkdtemp(join(tmpdir(), 'forestay-prepare-'));
    await test(folder).finally(() => rm(folder, { recursive: true, force: true }));
  };

  it('makes an absent folder, takes an empty one, and knows both again', () =>
    inTemp(async (folder) => {
      for (const root of [join(folder, 'absent'), folder]) {
        if (root === folder) await rm(join(folder, 'absent'), { recursive: true });
        const first = await prepareFilesystemStore(root);
        expect(first).toEqual({ id: expect.stringMatching(/^[0-9a-f-]{36}$/), created: true });
        expect(await prepareFilesystemStore(root)).toEqual({ id: first.id, created: false });
        expect(await prepareFilesystemStore(root, { expectedId: first.id })).toMatchObject({
          created: false,
        });
        expect(await readdir(root)).toEqual(['.forestay-store']);
      }
    }));

  it('refuses a folder with something else in it, one without parent, a file, and an unreadable marker', () =>
    inTemp(async (folder) => {
      const refused = { code: 'Misconfigured', hint: expect.any(String) };
      await expect(prepareFilesystemStore(join(folder, 'no', 'parent'))).rejects.toMatchObject(refused);
      await writeFile(join(folder, 'file'), '');
      await expect(prepareFilesystemStore(folder)).rejects.toMatchObject(refused);
      await expect(prepareFilesystemStore(join(folder, 'file'))).rejects.toMatchObject(refused);
      expect(await readdir(folder)).toEqual(['file']);
      await mkdir(join(folder, 'marked'));
      await writeFile(join(folder, 'marked', '.forestay-store'), 'something');
      await expect(prepareFilesystemStore(join(folder, 'marked'))).rejects.toMatchObject(refused);
    }));

  it('refuses the folder of another store where one is expected', () =>
    inTemp(async (folder) => {
      const { id } = await prepareFilesystemStore(join(folder, 'one'));
      await prepareFilesystemStore(join(folder, 'other'));
      for (const name of ['other', 'absent']) {
        const preparing = prepareFilesystemStore(join(folder, name), { expectedId: id });
        await expect(preparing).rejects.toMatchObject({ code: 'StoreUnavailable' });
      }
      expect(await readdir(folder)).toEqual(['one', 'other']);
    }));

  it('gives one id to all who do it at once', () =>
    inTemp(async (folder) => {
      const root = join(folder, 'store');
      const all = await Promise.all(Array.from({ length: 5 }, () => prepareFilesystemStore(root)));
      expect(new Set(all.map(({ id }) => id)).size).toBe(1);
      expect(all.filter(({ created }) => created)).toHaveLength(1);
      expect(await readdir(root)).toEqual(['.forestay-store']);
    }));
});
