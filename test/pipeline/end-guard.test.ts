import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { runSink } from '../../src/pipeline/child-process.ts';
import { isRunning, program } from './programs.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'guard-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('a guarded program gets every byte, the end, and its arguments as they are', async () => {
  const args = ['-c', 'cat > "$1"; echo "$2" >> "$1"', 'sh', join(folder, 'out'), `a  b "'$x\n`];
  const sink = runSink('sh', args, { guardEnd: true });
  await pipeline(Readable.from([Buffer.from('first\n'), Buffer.alloc(3_000_000, 'x')]), sink.input);
  expect(await readFile(join(folder, 'out'), 'utf8')).toBe(`first\n${'x'.repeat(3_000_000)}a  b "'$x\n\n`);
});

test('a guarded program gets what is written before it has started', async () => {
  const sink = runSink('sh', ['-c', 'cat > "$1"', 'sh', join(folder, 'out')], { guardEnd: true });
  sink.input.end('a\nb\n');
  await sink.finished;
  expect(await readFile(join(folder, 'out'), 'utf8')).toBe('a\nb\n');
});

test('a guarded program that is missing or fails says so', async () => {
  const missing = runSink('no-such-program', [], { guardEnd: true });
  await expect(pipeline(Readable.from([Buffer.alloc(10)]), missing.input)).rejects.toMatchObject({
    code: 'ToolFailed',
    cause: { exitCode: 127 },
  });
  const failing = runSink(program('die-before-reading.sh'), ['4'], { guardEnd: true });
  await expect(pipeline(Readable.from([Buffer.alloc(10)]), failing.input)).rejects.toMatchObject({
    cause: { exitCode: 4 },
  });
});

test('a guarded program is stopped like any other', async () => {
  const abort = new AbortController();
  const sink = runSink(program('record-end-of-input.sh'), [join(folder, 'ended')], {
    guardEnd: true,
    signal: abort.signal,
  });
  sink.input.write(Buffer.alloc(100_000));
  setTimeout(() => abort.abort(), 100);
  await expect(sink.finished).rejects.toMatchObject({ code: 'Canceled' });
  await expect.poll(() => sink.input.closed).toBe(true);
  expect(existsSync(join(folder, 'ended'))).toBe(false);
});

test('a guarded program never takes the death of whoever feeds it for the end of its input', async () => {
  for (const wait of [0, 20, 200]) {
    const ended = join(folder, `ended-${wait}`);
    const feeder = fork(
      new URL('./feed-and-die.ts', import.meta.url),
      [program('record-end-of-input.sh'), ended, String(wait)],
      {
        execArgv: [],
      },
    );
    const [pid] = (await once(feeder, 'message')) as [number];
    await once(feeder, 'exit');
    expect(feeder.signalCode).toBe('SIGKILL');
    await vi.waitFor(() => expect(isRunning(pid)).toBe(false), { timeout: 5_000 });
    expect(existsSync(ended)).toBe(false);
  }
});
