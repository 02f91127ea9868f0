import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ForestayError } from '../../../src/core/errors.ts';
import { createCommandEngine } from '../../../src/engines/command/engine.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { processesWith } from '../processes.ts';
import { fixtureCommands, makeNoted } from './instance.ts';

const never = new AbortController().signal;
const file = fixtureCommands();
const engine = createCommandEngine({ file });

const failing = (HOW: string, CODE = '1') =>
  takeBackup(engine, engine.parseConnection({ command: 'fault', parameters: { HOW, CODE } }));

describe('a backup command', () => {
  test.for([
    ['3', 'ToolFailed'],
    ['65', 'IncompatibleBackup'],
    ['69', 'InstanceUnreachable'],
    ['73', 'InstanceFull'],
    ['75', 'InstanceBusy'],
    ['77', 'InstanceRefused'],
    ['78', 'Misconfigured'],
  ])('that exits with %s after its output fails as %s, with what it said', async ([exit, code]) => {
    await expect(failing('exit', exit)).rejects.toMatchObject({
      code,
      message: `The backup command of fault exited with code ${exit}: the reason`,
    });
  });

  test('that writes nothing fails, although it exits 0', async () => {
    await expect(failing('nothing')).rejects.toMatchObject({
      code: 'ToolFailed',
      message: 'The backup command of fault exited with code 0, but wrote nothing.',
    });
  });

  test('that hangs is ended after stall_seconds', async () => {
    await expect(failing('hang')).rejects.toMatchObject({
      message: expect.stringContaining('wrote nothing for 1 s'),
    });
    await expect.poll(() => processesWith('FORESTAY_PARAMETER_HOW=hang')).toEqual([]);
  });

  test('that goes on for ever is ended after timeout_seconds', async () => {
    await expect(failing('slow')).rejects.toMatchObject({
      message: expect.stringContaining('did not finish within 2 s'),
    });
    await expect.poll(() => processesWith('FORESTAY_PARAMETER_HOW=slow')).toEqual([]);
  });

  test('sees its parameters and env, and no secret of the service', async () => {
    process.env.FORESTAY_MASTER_KEY = 'c2VjcmV0';
    const { bytes } = await failing('env', '0').finally(() => delete process.env.FORESTAY_MASTER_KEY);
    const own = bytes
      .toString()
      .split('\n')
      .filter((line) => line.includes('FORESTAY'));
    expect(own.sort()).toEqual([
      'FORESTAY_PARAMETER_CODE=0',
      'FORESTAY_PARAMETER_HOW=env',
      'FORESTAY_VERB=backup',
    ]);
  });

  test('says what kind of data it makes', async () => {
    const connection = engine.parseConnection({ command: 'fault', parameters: { HOW: 'env' } });
    const { stream, ...source } = await engine.backUp(connection, never);
    stream.destroy();
    expect(source).toEqual({
      tool: { name: 'fault', version: 'unknown' },
      engineVersion: 'unknown',
      mediaType: 'application/octet-stream',
      suffix: '.x',
      compressed: true,
      details: { command: 'fault' },
    });
  });
});

describe('a restore command', () => {
  const restoring = (HOW: string, source = { engineVersion: '1', details: { command: 'fault' } }) => {
    const connection = engine.parseConnection({ command: 'fault', parameters: { HOW } });
    return engine.restore(connection, streamOf(Buffer.alloc(1_000_000)), ticketFor(source), never);
  };

  test('that does not read all of its input fails, although it exits 0', async () => {
    await expect(restoring('stop-reading')).rejects.toMatchObject({ code: 'ToolFailed' });
  });

  test('that hangs is ended after timeout_seconds', async () => {
    await expect(restoring('hang')).rejects.toMatchObject({
      code: 'ToolFailed',
      message: 'The restore command of fault did not finish within 2 s.',
    });
  });

  test('gets only backups that it made', async () => {
    const source = { engineVersion: '1', details: { command: 'other' } };
    await expect(restoring('env', source)).rejects.toMatchObject({ code: 'IncompatibleBackup' });
    const connection = engine.parseConnection({ command: 'fault' });
    await expect(engine.assertRestorable(connection, source, never)).rejects.toMatchObject({
      code: 'IncompatibleBackup',
    });
  });

  test('without undo says so', async () => {
    const connection = engine.parseConnection({ command: 'fault' });
    await expect(engine.undo?.undo(connection, 'x', never)).rejects.toMatchObject({
      code: 'UndoUnavailable',
    });
    await engine.undo?.discard(connection, 'x', never);
    expect(await engine.settleRestore(connection, 'x', never)).toBe('clean');
    expect((await engine.probe(connection, never)).warnings).toEqual([
      expect.stringContaining('has no probe'),
      expect.stringContaining('is not atomic'),
    ]);
  });
});

test('secrets in what a command says are taken out, also in what the log gets', async () => {
  const noted = await makeNoted(engine);
  const error = await engine.probe(noted.wrong?.connection ?? {}, never).catch((reason: unknown) => reason);
  expect(error).toMatchObject({
    message: 'The probe command of noted exited with code 77: the password *** is wrong on ***',
  });
  const all = JSON.stringify([
    error,
    (error as ForestayError).cause,
    (error as ForestayError).stack,
    ((error as ForestayError).cause as Error).stack,
  ]);
  expect(all).not.toMatch(/s3cret|production-secret/);
  await noted.close();
});

describe('a connection', () => {
  const refusal = (input: unknown) => {
    try {
      engine.parseConnection(input);
      return 'accepted';
    } catch (error) {
      expect(error).toBeInstanceOf(ForestayError);
      expect(JSON.stringify([(error as Error).message, (error as ForestayError).hint])).not.toContain(
        'v4lue',
      );
      return (error as ForestayError).code;
    }
  };

  test('names a command of the operator and its parameters, and nothing else', () => {
    expect(refusal({ command: 'fault' })).toBe('accepted');
    expect(refusal({ command: 'fault', parameters: { HOW: 'a.b-c_1' } })).toBe('accepted');
    for (const input of [
      undefined,
      'fault',
      {},
      { command: ['fault'] },
      { command: 'rm' },
      { command: '__proto__' },
      { command: 'fault', backup: ['rm', '-rf', '/'] },
      { command: 'fault', parameters: { PATH: '/v4lue' } },
      { command: 'fault', parameters: { LD_PRELOAD: '/v4lue' } },
      { command: 'fault', parameters: { constructor: 'v4lue' } },
      { command: 'fault', parameters: { HOW: 1 } },
      { command: 'noted', parameters: { FILE: '/a' } },
      { command: 'noted', parameters: { FILE: '/a\nv4lue', PASSWORD: 'x' } },
      { command: 'noted', parameters: { FILE: '/a', PASSWORD: 'v4lue\0' } },
      { command: 'noted', parameters: { FILE: 'a/v4lue', PASSWORD: 'x' } },
    ]) {
      expect(refusal(input), JSON.stringify(input)).toBe('BadRequest');
    }
    for (const value of [
      '',
      '-v4lue',
      '../v4lue',
      'v4lue x',
      '$(v4lue)',
      '*v4lue',
      "v4lue'",
      'v4lue;',
      '/v4lue',
      'ü',
    ]) {
      expect(refusal({ command: 'fault', parameters: { HOW: value } }), value).toBe('BadRequest');
    }
  });

  test('is refused where the operator set up nothing', () => {
    const none = createCommandEngine({ file: undefined });
    expect(() => none.parseConnection({ command: 'fault' })).toThrow('There is no such command.');
    expect(none.restoreIsAtomic).toBe(false);
  });
});

describe('the file of commands', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'commands-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const good = { backup: ['a'], restore: ['b'], suffix: '.x', media_type: 'a/b', restore_is_atomic: true };
  const load = async (content: unknown, mode = 0o600) => {
    const path = join(folder, 'commands.json');
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
    await chmod(path, mode);
    return createCommandEngine({ file: path });
  };
  const wrong = (what: string) => ({
    code: 'Misconfigured',
    message: expect.stringContaining(what),
    hint: expect.any(String),
  });

  test('is read at the start, and refused with the place of what is wrong', async () => {
    expect((await load({ good })).restoreIsAtomic).toBe(true);
    expect((await load({ good, other: { ...good, restore_is_atomic: false } })).restoreIsAtomic).toBe(false);
    await expect(load('{')).rejects.toMatchObject(wrong('not JSON'));
    await expect(load([])).rejects.toMatchObject(wrong('must be object'));
    await expect(load({ good: { ...good, backup: 'a b' } })).rejects.toMatchObject(wrong('/good/backup'));
    await expect(load({ good: { ...good, backup: [] } })).rejects.toMatchObject(wrong('/good/backup'));
    await expect(load({ good: { ...good, tiemout_seconds: 1 } })).rejects.toMatchObject(wrong('/good'));
    await expect(load({ 'Not good': good })).rejects.toMatchObject(wrong(''));
    await expect(load({ good: { ...good, env: { FORESTAY_X: '1' } } })).rejects.toMatchObject(
      wrong('/good/env'),
    );
    await expect(load({ good: { ...good, parameters: { X: { pattern: '(' } } } })).rejects.toMatchObject(
      wrong('pattern of X'),
    );
    await expect(load({ good: { ...good, undo: ['x'] } })).rejects.toMatchObject(wrong('undo'));
    expect(() => createCommandEngine({ file: join(folder, 'missing') })).toThrow('cannot be read');
  });

  test('must not be open to others: who writes it runs programs as Forestay', async () => {
    await expect(load({ good }, 0o666)).rejects.toMatchObject(wrong('others than its owner may write'));
    await expect(load({ good }, 0o620)).rejects.toMatchObject(wrong('others than its owner may write'));
  });

  test('tells the doctor which programs are missing', async () => {
    const loaded = await load({ good: { ...good, backup: ['true'], restore: ['no-such-program'] } });
    expect(await loaded.tools(never)).toEqual([
      { tool: 'good: true', found: [{ version: 'present', path: 'true' }], hint: expect.any(String) },
      { tool: 'good: no-such-program', found: [], hint: expect.stringContaining('no-such-program') },
    ]);
    expect((await engine.tools(never)).every(({ found }) => found.length === 1)).toBe(true);
  });
});
