import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ForestayError } from '../../src/core/errors.ts';
import type { Connection } from '../../src/core/instance.ts';
import type { Engine, RestoreReport, RestoreTicket } from '../../src/engines/engine.ts';

/** One instance of a real server, made for one test, and what only the engine's tests know how to do with it. */
export interface InstanceFixture {
  readonly connection: Connection;
  /** The same with a wrong password, which must not appear anywhere; for engines that log in. */
  readonly wrong?: { readonly connection: Connection; readonly secret: string };
  /** The same at an address where nothing listens. */
  readonly unreachable: Connection;
  /** The same server, say, but an instance that is not there; default: `unreachable`. */
  readonly missing?: Connection;
  /** `hostile`: names and values that break careless code; `bulk`: at least 4 MB. */
  fill(kind: 'hostile' | 'bulk'): Promise<void>;
  /** Adds data of so many megabytes that does not compress well. */
  grow?(megabytes: number): Promise<void>;
  /** Equal if and only if the data is. */
  fingerprint(): Promise<unknown>;
  /** Changes data; throws when the instance takes no writes. */
  write(): Promise<void>;
  /** Writes all the time so that an invariant holds at every moment. */
  startWriting(): Promise<{ stop(): Promise<void> }>;
  /** Whether that invariant holds. */
  isConsistent(): Promise<boolean>;
  /** Ends what a backup reads from, at the server. Throws when nothing is at work any more. */
  killSource(): Promise<void>;
  /** Sessions and staging of ours at the server. */
  remains(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** An instance without room for a second copy of what a backup of it holds. Disposed of after it was closed. */
export interface FullInstance extends AsyncDisposable {
  readonly engine: Engine;
  readonly instance: InstanceFixture;
  readonly backup: TakenBackup;
}

export interface EngineContract {
  readonly engine: Engine;
  readonly method: RestoreReport['method'];
  /** Whether a backup is possible while the instance is written to. Default: yes, and it is of one moment. */
  readonly whileWritten?: 'consistent' | 'refused' | 'not promised';
  /** Whether `undo` works after a restore. Default: exactly after a staged one. */
  readonly undoable?: boolean;
  makeInstance(): Promise<InstanceFixture>;
  /** Makes one, or says why that is not possible here. */
  readonly full: (() => Promise<FullInstance>) | { readonly notRun: string };
}

const never = new AbortController().signal;

/** How many megabytes the test with much data takes; it is run only where this says so. */
const bigMegabytes = Number(process.env.TEST_BIG ?? 0);
const noBig = bigMegabytes > 0 ? '' : ' [not run: TEST_BIG says how many megabytes]';

/** A backup in memory. */
export interface TakenBackup {
  readonly bytes: Buffer;
  readonly source: RestoreTicket['source'];
}

export async function takeBackup(engine: Engine, connection: Connection): Promise<TakenBackup> {
  const { stream, engineVersion, details } = await engine.backUp(connection, never);
  // Details travel as JSON.
  return {
    bytes: await buffer(stream),
    source: { engineVersion, details: JSON.parse(JSON.stringify(details)) },
  };
}

export function ticketFor(
  source: RestoreTicket['source'],
  changes: Partial<RestoreTicket> = {},
): RestoreTicket {
  return {
    id: randomUUID(),
    attempt: 1,
    source,
    beforeSwitch: async () => {},
    onPhase: () => {},
    ...changes,
  };
}

/** Bytes in pieces, failing after so many of them where asked to. */
export function streamOf(
  bytes: Buffer,
  failure?: { readonly after: number; readonly error: Error },
): Readable {
  return Readable.from(
    (async function* () {
      const end = failure ? failure.after : bytes.length;
      for (let start = 0; start < end; start += 65536)
        yield bytes.subarray(start, Math.min(end, start + 65536));
      if (failure) throw failure.error;
    })(),
  );
}

/** The port's contract as tests; every engine runs it against a real server. */
export function describeEngine(name: string, contract: EngineContract): void {
  const { engine, method, whileWritten = 'consistent', undoable = method === 'staged' } = contract;
  describe(`${name} keeps the contract of engines`, () => {
    let instance: InstanceFixture;
    beforeEach(async () => {
      instance = await contract.makeInstance();
    });
    afterEach(async () => {
      await vi.waitFor(async () => expect(await instance.remains()).toEqual([]), {
        timeout: 10_000,
        interval: 50,
      });
      await instance.close();
    });

    const restore = (backup: TakenBackup, changes: Partial<RestoreTicket> = {}) =>
      engine.restore(instance.connection, streamOf(backup.bytes), ticketFor(backup.source, changes), never);

    it('restores an empty instance', async () => {
      const before = await instance.fingerprint();
      const backup = await takeBackup(engine, instance.connection);
      await instance.write();
      await restore(backup);
      expect(await instance.fingerprint()).toEqual(before);
    });

    for (const kind of ['hostile', 'bulk'] as const) {
      it(`restores ${kind} data exactly, says how, and tells its phases`, async () => {
        await instance.fill(kind);
        const before = await instance.fingerprint();
        const backup = await takeBackup(engine, instance.connection);
        await instance.write();
        const phases: string[] = [];
        const ticket = ticketFor(backup.source, { onPhase: (phase) => phases.push(phase) });
        const report = await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
        expect(await instance.fingerprint()).toEqual(before);
        expect(report).toMatchObject({ method, notKept: [], undoable });
        expect(phases[0]).toBe('preparing');
        expect(phases.at(-1)).toBe('switching');
        await instance.write();
        await engine.undo?.discard(instance.connection, ticket.id, never);
      });
    }

    it.skipIf(noBig)(
      `restores ${noBig ? 'much' : `${bigMegabytes} MB of`} data exactly, with memory that does not grow with it${noBig}`,
      { timeout: 60 * 60 * 1000 },
      async ({ skip }) => {
        if (!instance.grow) return skip('the fixture makes no such data');
        await instance.grow(bigMegabytes);
        const before = await instance.fingerprint();
        const folder = await mkdtemp(join(tmpdir(), 'big-'));
        const resting = process.memoryUsage().rss;
        let peak = resting;
        const sampling = setInterval(() => {
          peak = Math.max(peak, process.memoryUsage().rss);
        }, 100);
        try {
          const file = join(folder, 'backup');
          const startedAt = performance.now();
          const { stream, engineVersion, details } = await engine.backUp(instance.connection, never);
          await pipeline(stream, createWriteStream(file));
          const backedUpAt = performance.now();
          await instance.write();
          const ticket = ticketFor({ engineVersion, details });
          await engine.restore(instance.connection, createReadStream(file), ticket, never);
          const seconds = (ms: number) => (ms / 1000).toFixed(1);
          process.stdout.write(
            `${name}: ${(await stat(file)).size} bytes, backed up in ${seconds(backedUpAt - startedAt)} s, ` +
              `restored in ${seconds(performance.now() - backedUpAt)} s, ${Math.round((peak - resting) / 1e6)} MB more memory\n`,
          );
          expect((await stat(file)).size).toBeGreaterThan(bigMegabytes * 500_000);
          expect(peak - resting).toBeLessThan(200_000_000);
          expect(await instance.fingerprint()).toEqual(before);
          await engine.undo?.discard(instance.connection, ticket.id, never);
        } finally {
          clearInterval(sampling);
          await rm(folder, { recursive: true });
        }
      },
    );

    it('refuses to restore into an instance that is not there, and makes none', async () => {
      const backup = await takeBackup(engine, instance.connection);
      const missing = instance.missing ?? instance.unreachable;
      const restoring = engine.restore(missing, streamOf(backup.bytes), ticketFor(backup.source), never);
      await expect(restoring).rejects.toBeInstanceOf(ForestayError);
      await expect(engine.probe(missing, never)).rejects.toBeInstanceOf(ForestayError);
    });

    // What an engine does not promise is no test of it, and none that was skipped.
    const testOf = (promised: boolean) => (promised ? it : () => {});

    testOf(whileWritten === 'refused')('refuses to back up an instance that is written to', async () => {
      const writer = await instance.startWriting();
      try {
        // Its bytes are not what somebody wants to read when it was taken after all.
        const taking = takeBackup(engine, instance.connection).then(({ bytes }) => `${bytes.length} bytes`);
        await expect(taking).rejects.toMatchObject({ code: 'InstanceBusy' });
      } finally {
        await writer.stop();
      }
      await restore(await takeBackup(engine, instance.connection));
      expect(await instance.isConsistent()).toBe(true);
    });

    testOf(whileWritten === 'consistent')(
      'backs up one moment of an instance that is written to',
      async () => {
        const writer = await instance.startWriting();
        const backup = await takeBackup(engine, instance.connection).finally(() => writer.stop());
        await restore(backup);
        expect(await instance.isConsistent()).toBe(true);
      },
    );

    it('ends everything behind a backup that is canceled half-way', async () => {
      await instance.fill('bulk');
      const canceled = new AbortController();
      const { stream } = await engine.backUp(instance.connection, canceled.signal);
      const reading = (async () => {
        for await (const _ of stream) canceled.abort();
      })();
      await expect(reading).rejects.toMatchObject({ code: 'Canceled' });
    });

    it('ends everything behind a backup whose stream is destroyed', async () => {
      await instance.fill('bulk');
      const { stream } = await engine.backUp(instance.connection, never);
      for await (const _ of stream) break;
      expect(stream.destroyed).toBe(true);
    });

    it('fails a backup whose source dies half-way', async () => {
      await instance.fill('bulk');
      const { stream } = await engine.backUp(instance.connection, never);
      const reader = stream[Symbol.asyncIterator]();
      await reader.next();
      // Nobody reads on meanwhile, and bulk data is more than buffers hold: the source is still at work.
      await instance.killSource();
      const reading = (async () => {
        while (!(await reader.next()).done);
      })();
      await expect(reading).rejects.toBeInstanceOf(ForestayError);
    });

    it('leaves the instance as it was when a restore is canceled half-way', async () => {
      await instance.fill('bulk');
      const backup = await takeBackup(engine, instance.connection);
      await instance.write();
      const before = await instance.fingerprint();
      const canceled = new AbortController();
      const half = Readable.from(
        (async function* () {
          yield backup.bytes.subarray(0, backup.bytes.length / 2);
          canceled.abort();
          await sleep(60_000, undefined, { signal: canceled.signal }).catch(() => {});
        })(),
      );
      const restoring = engine.restore(instance.connection, half, ticketFor(backup.source), canceled.signal);
      await expect(restoring).rejects.toMatchObject({ code: 'Canceled' });
      expect(await instance.fingerprint()).toEqual(before);
      await instance.write();
    });

    it('leaves the instance as it was when the backup turns out to be damaged, wherever that is', async () => {
      await instance.fill('bulk');
      const backup = await takeBackup(engine, instance.connection);
      await instance.write();
      const before = await instance.fingerprint();
      const { length } = backup.bytes;
      const damage = new ForestayError('BackupDamaged', 'damaged on purpose');
      for (const after of [0, 1, 100, Math.floor(Math.random() * length), length - 1, length]) {
        const bytes = streamOf(backup.bytes, { after, error: damage });
        const beforeSwitch = vi.fn(async () => {});
        const restoring = engine.restore(
          instance.connection,
          bytes,
          ticketFor(backup.source, { beforeSwitch }),
          never,
        );
        await expect(restoring, `after ${after} of ${length} bytes`).rejects.toBe(damage);
        expect(beforeSwitch).not.toHaveBeenCalled();
        expect(await instance.fingerprint()).toEqual(before);
      }
      await instance.write();
    });

    it('refuses bytes that end too early or are something else, and leaves the instance as it was', async () => {
      await instance.fill('bulk');
      const backup = await takeBackup(engine, instance.connection);
      const before = await instance.fingerprint();
      for (const bytes of [
        backup.bytes.subarray(0, backup.bytes.length / 3),
        Buffer.from('no backup'),
        Buffer.alloc(0),
      ]) {
        await expect(restore({ ...backup, bytes })).rejects.toBeInstanceOf(ForestayError);
        expect(await instance.fingerprint()).toEqual(before);
      }
    });

    const { full } = contract;
    const notFull = 'notRun' in full ? ` [not run: ${full.notRun}]` : '';
    it.skipIf(notFull)(
      `says that an instance has no room for a restore, and leaves it as it was${notFull}`,
      async ({ skip }) => {
        if ('notRun' in full) return skip(full.notRun);
        await using made = await full();
        const { engine: its, instance: small, backup } = made;
        try {
          const before = await small.fingerprint();
          const ticket = ticketFor(backup.source);
          const restoring = its.restore(small.connection, streamOf(backup.bytes), ticket, never);
          await expect(restoring).rejects.toMatchObject({ code: 'InstanceFull', hint: expect.any(String) });
          expect(await small.fingerprint()).toEqual(before);
          await small.write();
          expect(await its.settleRestore(small.connection, ticket.id, never)).toBe('clean');
          await vi.waitFor(async () => expect(await small.remains()).toEqual([]), { timeout: 10_000 });
        } finally {
          await small.close();
        }
      },
    );

    it('does not switch when it is told not to at the last moment', async () => {
      await instance.fill('hostile');
      const backup = await takeBackup(engine, instance.connection);
      await instance.write();
      const before = await instance.fingerprint();
      const superseded = new ForestayError('AttemptSuperseded', 'somebody else does it');
      const restoring = restore(backup, { beforeSwitch: () => Promise.reject(superseded) });
      await expect(restoring).rejects.toBe(superseded);
      expect(await instance.fingerprint()).toEqual(before);
      await instance.write();
    });

    it('says who it is, and refuses wrong passwords without showing them', async () => {
      expect((await engine.probe(instance.connection, never)).engineVersion).toMatch(/^\d+/);
      if (!instance.wrong) return;
      const { connection, secret } = instance.wrong;
      const error: unknown = await engine.probe(connection, never).catch((reason) => reason);
      expect(error).toMatchObject({ code: 'InstanceRefused', hint: expect.any(String) });
      expect(`${(error as Error).message} ${(error as ForestayError).hint}`).not.toContain(secret);
      await expect(takeBackup(engine, connection)).rejects.toMatchObject({ code: 'InstanceRefused' });
    });

    it('says that an instance is unreachable', async () => {
      await expect(engine.probe(instance.unreachable, never)).rejects.toMatchObject({
        code: 'InstanceUnreachable',
      });
    });

    it('settles a restore of which nothing is left', async () => {
      expect(await engine.settleRestore(instance.connection, randomUUID(), never)).toBe('clean');
    });

    testOf(undoable)(
      'knows that a restore has switched, undoes it once, and then says it cannot',
      async () => {
        await instance.fill('hostile');
        const backup = await takeBackup(engine, instance.connection);
        await instance.write();
        const before = await instance.fingerprint();
        const ticket = ticketFor(backup.source);
        await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
        expect(await engine.settleRestore(instance.connection, ticket.id, never)).toBe('switched');
        expect(await instance.fingerprint()).not.toEqual(before);
        await engine.undo?.undo(instance.connection, ticket.id, never);
        expect(await instance.fingerprint()).toEqual(before);
        await instance.write();
        await expect(engine.undo?.undo(instance.connection, ticket.id, never)).rejects.toMatchObject({
          code: 'UndoUnavailable',
        });
        await engine.undo?.discard(instance.connection, ticket.id, never);
      },
    );
  });
}
