import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ForestayError } from '../../src/core/errors.ts';
import { ChildExit, runSink, runTool, spawnSource } from '../../src/pipeline/child-process.ts';
import { isRunning, program } from './programs.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'child-'));
});
afterAll(() => rm(folder, { recursive: true }));

const size = async (stream: Readable): Promise<number> => {
  let bytes = 0;
  for await (const piece of stream) bytes += piece.length;
  return bytes;
};
const closed = (stream: Readable) => new Promise((resolve) => stream.once('close', resolve));
const firstLine = async (stream: Readable): Promise<string> =>
  new Promise((resolve) => stream.once('data', (bytes: Buffer) => resolve(bytes.toString().trim())));
const blocks = (count: number) => Readable.from(Array.from({ length: count }, () => Buffer.alloc(100_000)));

describe('a source', () => {
  test('delivers every byte and ends when its program exited 0', async () => {
    expect(await size(spawnSource('head', ['-c', '20000000', '/dev/zero']))).toBe(20_000_000);
  });

  test('fails when its program exits 3 after its full output', async () => {
    const source = spawnSource(program('fail-after-output.sh'), ['3000000']);
    const error = await size(source).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'ToolFailed',
      message: 'fail-after-output.sh exited with code 3: the last table could not be read',
    });
    expect((error as ForestayError).cause).toBeInstanceOf(ChildExit);
    expect((error as ForestayError).cause).toMatchObject({ exitCode: 3, signal: null });
  });

  test('fails when its program is killed', async () => {
    await expect(size(spawnSource(program('die-by-signal.sh'), []))).rejects.toMatchObject({
      code: 'ToolFailed',
      message: 'die-by-signal.sh was ended by SIGKILL.',
      cause: { exitCode: null, signal: 'SIGKILL' },
    });
  });

  test('fails when its program closes its output early and exits 1 later', async () => {
    await expect(size(spawnSource(program('close-stdout-early.sh'), []))).rejects.toMatchObject({
      code: 'ToolFailed',
    });
  });

  test('keeps the end of a flood on stderr, and not all of it', async () => {
    const lines: string[] = [];
    const source = spawnSource(program('flood-stderr.sh'), [], { onStderrLine: (line) => lines.push(line) });
    const error = (await size(source).catch((reason: unknown) => reason)) as ForestayError;
    expect(error.message).toMatch(/the reason is at the end$/);
    expect(error.message.length).toBeLessThan(2_100);
    expect((error.cause as ChildExit).stderr.length).toBeLessThanOrEqual(64 * 1024);
    expect(lines.at(-1)).toBe('the reason is at the end');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(64 * 1024 + 8 * 1024);
  });

  test('says that its program is missing', async () => {
    await expect(size(spawnSource('no-such-dump-tool', []))).rejects.toMatchObject({
      code: 'ToolMissing',
      hint: expect.stringContaining('no-such-dump-tool'),
    });
  });

  test('has its program write large blocks where it was asked to, and misses it by its own name', async () => {
    const source = spawnSource('/usr/bin/seq', ['100000'], { largeWrites: true });
    const bytes = await buffer(source);
    expect(bytes.toString()).toBe(`${Array.from({ length: 100_000 }, (_, index) => index + 1).join('\n')}\n`);
    const missing = spawnSource('/nowhere/pg_dump', [], { largeWrites: true });
    await expect(buffer(missing)).rejects.toMatchObject({
      code: 'ToolMissing',
      message: expect.stringContaining('pg_dump'),
    });
    const failing = spawnSource(program('fail-after-output.sh'), ['1000'], { largeWrites: true });
    await expect(buffer(failing)).rejects.toMatchObject({ code: 'ToolFailed' });
  });

  test('tells the reader of an error that came before the reader', async () => {
    const source = spawnSource('no-such-dump-tool', []);
    await closed(source);
    await expect(size(source)).rejects.toMatchObject({ code: 'ToolMissing' });
  });

  test('kills a program that ignores SIGTERM, and closes only when it is gone', async () => {
    const source = spawnSource(program('ignore-sigterm.sh'), []);
    const pid = Number(await firstLine(source));
    expect(isRunning(pid)).toBe(true);
    const started = Date.now();
    source.destroy();
    await closed(source);
    expect(isRunning(pid)).toBe(false);
    expect(Date.now() - started).toBeGreaterThan(4_000);
  });

  test('ends what its program started, when the signal aborts', async () => {
    const abort = new AbortController();
    const source = spawnSource(program('start-helper.sh'), [], { signal: abort.signal });
    const helper = Number(await firstLine(source));
    expect(isRunning(helper)).toBe(true);
    abort.abort();
    await closed(source);
    await expect.poll(() => isRunning(helper), { timeout: 5_000 }).toBe(false);
    expect(source.errored).toMatchObject({ code: 'Canceled' });
  });

  test('starts nothing under a signal that is aborted already, and passes its reason on', async () => {
    const reason = new ForestayError('AttemptSuperseded', 'another attempt goes on');
    const source = spawnSource('touch', [join(folder, 'started')], { signal: AbortSignal.abort(reason) });
    await expect(size(source)).rejects.toBe(reason);
    expect(existsSync(join(folder, 'started'))).toBe(false);
  });

  test('leaves no process at whatever moment it is stopped', async () => {
    for (let ms = 0; ms < 20; ms++) {
      const abort = new AbortController();
      const source = spawnSource(program('start-helper.sh'), [], { signal: abort.signal });
      let helper: number | undefined;
      source.on('data', (bytes: Buffer) => {
        helper = Number(bytes.toString());
      });
      await sleep(ms);
      abort.abort();
      await closed(source);
      if (helper) await expect.poll(() => isRunning(helper as number), { timeout: 5_000 }).toBe(false);
    }
  });
});

describe('the environment of programs', () => {
  test('holds what is given and no secret of the service', async () => {
    process.env.FORESTAY_MASTER_KEY = 'c2VjcmV0';
    const { stdout } = await runTool('env', [], { env: { PGDATABASE: 'shop' } });
    delete process.env.FORESTAY_MASTER_KEY;
    expect(stdout).toContain('PGDATABASE=shop\n');
    expect(stdout).toContain('LC_ALL=C\n');
    expect(stdout).not.toContain('FORESTAY');
  });
});

describe('a sink', () => {
  test('finishes its input only when the program exited 0', async () => {
    const sink = runSink('sh', ['-c', 'cat > /dev/null; sleep 0.2; echo done >&2']);
    const started = Date.now();
    await pipeline(blocks(30), sink.input);
    expect(Date.now() - started).toBeGreaterThan(190);
    expect(await sink.finished).toEqual({ stderr: 'done\n' });
  });

  test('passes on what the program writes', async () => {
    const sink = runSink('tr', ['a', 'b'], { captureOutput: 'pipe' });
    const fed = pipeline(Readable.from([Buffer.from('banana')]), sink.input);
    expect(Buffer.concat(await (sink.output as Readable).toArray()).toString()).toBe('bbnbnb');
    await fed;
  });

  test('fails with the exit of a program that died before reading, not with EPIPE', async () => {
    const sink = runSink(program('die-before-reading.sh'), ['4']);
    const expected = {
      code: 'ToolFailed',
      message: 'die-before-reading.sh exited with code 4: no such database',
    };
    await expect(pipeline(blocks(100), sink.input)).rejects.toMatchObject(expected);
    await expect(sink.finished).rejects.toMatchObject(expected);
  });

  test('fails when a program that exits 0 left input unread, unless that is allowed', async () => {
    const strict = runSink(program('die-before-reading.sh'), ['0']);
    await expect(pipeline(blocks(100), strict.input)).rejects.toMatchObject({ code: 'ToolFailed' });
    const lenient = runSink(program('die-before-reading.sh'), ['0'], { unreadInput: 'discard' });
    await pipeline(blocks(100), lenient.input);
    await lenient.finished;
  });

  test('never shows its program a clean end of input after an error', async () => {
    for (const ms of [0, 1, 5, 20, 100]) {
      const marker = join(folder, `committed-${ms}`);
      const sink = runSink(program('record-end-of-input.sh'), [marker]);
      const failing = Readable.from(
        (async function* () {
          yield Buffer.alloc(200_000);
          await sleep(ms);
          throw new Error('the backup is damaged');
        })(),
      );
      await expect(pipeline(failing, sink.input)).rejects.toThrow('the backup is damaged');
      await expect(sink.finished).rejects.toThrow('the backup is damaged');
      expect(existsSync(marker)).toBe(false);
    }
  });

  test('fails input, output and result alike when the signal aborts', async () => {
    const abort = new AbortController();
    const sink = runSink('cat', [], { captureOutput: 'pipe', signal: abort.signal });
    const reading = size(sink.output as Readable);
    sink.input.write(Buffer.alloc(10));
    setTimeout(() => abort.abort(), 50);
    await expect(reading).rejects.toMatchObject({ code: 'Canceled' });
    await expect(sink.finished).rejects.toMatchObject({ code: 'Canceled' });
    expect(sink.input.destroyed).toBe(true);
  });
});

describe('a tool', () => {
  test('gets its input and gives back both outputs', async () => {
    const { stdout, stderr } = await runTool('sh', ['-c', 'cat; echo warned >&2'], { input: 'secret' });
    expect({ stdout, stderr }).toEqual({ stdout: 'secret', stderr: 'warned\n' });
  });

  test('is killed when it takes too long or says too much', async () => {
    await expect(runTool('sleep', ['100'], { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'ToolFailed',
      message: 'sleep did not finish within 100 ms.',
    });
    await expect(runTool('cat', ['/dev/zero'], { maxOutputBytes: 1000 })).rejects.toMatchObject({
      message: 'cat wrote more than 1000 bytes.',
    });
  });
});
