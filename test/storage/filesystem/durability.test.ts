import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import { abandoned, inChunks, keysOf, never } from '../../contract/store-data.ts';
import { makeTempStore } from './temp-store.ts';

const run = promisify(execFile);
const child = join(import.meta.dirname, 'put-in-child.ts');
const noStrace = whyNoStrace();

describe('a directory store whose process is killed in mid-put', () => {
  it('has nothing but a temporary file, which counts as abandoned once it is old', async () => {
    await using temp = await makeTempStore();
    const putting = spawn(process.execPath, [child, temp.root, 'a/b/data', String(1e15)], {
      stdio: 'inherit',
    });
    try {
      await vi.waitFor(
        async () => {
          const [name = 'none yet'] = await temp.temps();
          expect((await stat(join(temp.root, '.forestay-tmp', name))).size).toBeGreaterThan(4_000_000);
        },
        { timeout: 20_000, interval: 20 },
      );
    } finally {
      putting.kill('SIGKILL');
      await once(putting, 'exit');
    }
    expect(await temp.visible()).toEqual([]);
    expect(await keysOf(temp.store.list('', never))).toEqual([]);
    expect(await temp.temps()).toHaveLength(1);

    const anHourAgo = new Date(Date.now() - 3_600_000);
    expect(await temp.store.removeAbandonedPuts!(abandoned({ before: anHourAgo }))).toBe(0);
    const theirs = (key: string) => !key.startsWith('a/b/');
    expect(await temp.store.removeAbandonedPuts!(abandoned({ isOurs: theirs }))).toBe(0);
    expect(await temp.store.removeAbandonedPuts!(abandoned())).toBe(1);
    expect(await temp.temps()).toEqual([]);
    await temp.store.put('a/b/data', inChunks(Buffer.from('x')), { signal: never });
  });
});

describe.skipIf(noStrace)(`the system calls of a directory store${noStrace}`, () => {
  it('sync the whole file before it gets its name, and then all its folders', async () => {
    await using temp = await makeTempStore();
    const seen = await trace(temp.root, 'a/b/data');
    expect(seen).toEqual([
      'fsync TEMP',
      `rename TEMP ${temp.root}/a/b/data`,
      `fsync ${temp.root}/a/b`,
      `fsync ${temp.root}/a`,
      `fsync ${temp.root}`,
    ]);
  });

  it('sync folders that were there before, too: they may be as new as the object', async () => {
    await using temp = await makeTempStore();
    await mkdir(join(temp.root, 'a'));
    const seen = await trace(temp.root, 'a/data');
    expect(seen.slice(-2)).toEqual([`fsync ${temp.root}/a`, `fsync ${temp.root}`]);
  });

  it('are believed when one fails on the way, even if the last sync says that all is well', async () => {
    await using temp = await makeTempStore();
    const failFirst = ['-f', '-o', '/dev/null', '-e', 'inject=fdatasync:error=EIO:when=1'];
    const putting = run('strace', [...failFirst, process.execPath, child, temp.root, 'a/data', '80000000']);
    await expect(putting).rejects.toMatchObject({ stderr: expect.stringMatching(/StoreUnavailable/) });
    expect(await temp.visible()).toEqual([]);
    expect(await temp.temps()).toEqual([]);
  });
});

/** The calls that matter for durability while a process puts 3 MB under a key, in order. */
async function trace(root: string, key: string): Promise<string[]> {
  const log = `${root}.strace`;
  const calls = 'trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat';
  await run('strace', [
    '-f',
    '-y',
    '-s',
    '300',
    '-o',
    log,
    '-e',
    calls,
    process.execPath,
    child,
    root,
    key,
    '3000000',
  ]);
  const lines = (await readFile(log, 'utf8')).split('\n').filter((line) => line.includes(root));
  return lines.map((line) => {
    const call = /(\w+)\(/.exec(line)?.[1]?.replace(/at2?$/, '');
    const paths = [...line.matchAll(/["<](\/[^">]*)[">]/g)].map((match) => match[1] ?? '');
    return [call, ...paths.map((path) => (path.includes('/.forestay-tmp/') ? 'TEMP' : path))].join(' ');
  });
}

function whyNoStrace(): string {
  try {
    execFileSync('strace', ['-o', '/dev/null', 'true'], { stdio: 'ignore' });
    return '';
  } catch {
    return ' [not run: strace is not installed, or may not trace here]';
  }
}
