import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ForestayError } from '../../../src/core/errors.ts';
import type { RestorePlan } from '../../../src/engines/engine.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts';
import { at, isOurs } from '../../support/rabbitmq-management.ts';
import { type RabbitmqServer, startRabbitmqServer } from '../../support/rabbitmq-server.ts';
import type { WorkerOrder } from '../restore-worker.ts';
import { engine, fillHostile, makeRabbitmqInstance, type RabbitmqInstance } from './instance.ts';

const never = new AbortController().signal;

let server: RabbitmqServer;
let instance: RabbitmqInstance;
beforeAll(async () => {
  server = await startRabbitmqServer({ plugins: ['rabbitmq_federation'] });
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await makeRabbitmqInstance(server, 'broker');
});
afterEach(async () => {
  await vi.waitFor(async () => expect(await instance.remains()).toEqual([]), {
    timeout: 10_000,
    interval: 50,
  });
  await instance.close();
});

const call = <Body = unknown>(method: string, path: string, body?: object) =>
  instance.management.call<Body>(method, path, body);
const restore = (backup: TakenBackup, connection = instance.connection) =>
  engine.restore(connection, streamOf(backup.bytes), ticketFor(backup.source), never);
const plan = (backup: TakenBackup) =>
  engine.planRestore?.(
    instance.connection,
    streamOf(backup.bytes),
    backup.source,
    never,
  ) as Promise<RestorePlan>;
const publish = (vhost: string, queue: string) =>
  call('POST', `exchanges/${at(vhost)}/amq.default/publish`, {
    ...{ properties: { delivery_mode: 2 }, routing_key: queue, payload: 'paid', payload_encoding: 'string' },
  });
const queue = (name: string, args: object = {}, vhost = '/') =>
  call('PUT', `queues/${at(vhost, name)}`, { durable: true, arguments: args });

describe('what rabbitmqctl lists', () => {
  test('is the same after a restore into a broker that holds something else', {
    timeout: 180_000,
  }, async () => {
    await fillHostile(instance.management, '/', 'broker');
    const [before, listed] = [await instance.fingerprint(), await listings(server)];
    const backup = await takeBackup(engine, instance.connection);
    await instance.close();

    // The emptied broker, in which others have settled meanwhile.
    instance = await makeRabbitmqInstance(server, 'broker');
    await call('POST', 'definitions', {
      vhosts: [{ name: 'squatter' }, { name: 'a/b' }],
      users: [{ name: 'squatter', password: 'x', tags: 'administrator' }],
      permissions: [{ user: 'squatter', vhost: 'a/b', configure: '', write: '', read: '' }],
      global_parameters: [{ name: 'squatter', value: 1 }],
      exchanges: [
        { ...{ name: 'a/b', vhost: '/', type: 'fanout', durable: false, auto_delete: false }, arguments: {} },
      ],
      queues: [
        { ...{ name: 'ü', vhost: '/', durable: false, auto_delete: false }, arguments: { 'x-expires': 9e6 } },
      ],
    });
    expect(await instance.fingerprint()).not.toEqual(before);
    const planned = await plan(backup);
    expect(planned.changed).toEqual(
      expect.arrayContaining([
        { kind: 'exchange', name: 'a/b', within: 'vhost /', differs: ['type', 'durable'] },
        { kind: 'queue', name: 'ü', within: 'vhost /', differs: ['durable', 'arguments'] },
      ]),
    );
    expect(planned.removed).toEqual(
      expect.arrayContaining([
        { kind: 'vhost', name: 'squatter', within: null },
        { kind: 'user', name: 'squatter', within: null },
        { kind: 'permission', name: 'squatter', within: 'vhost a/b' },
        { kind: 'global parameter', name: 'squatter', within: null },
      ]),
    );
    expect(planned.added).toContainEqual({ kind: 'operator policy', name: 'op é', within: 'vhost /' });
    expect(JSON.stringify(planned)).not.toContain('p%40ss');
    expect((await restore(backup)).notKept).toEqual([]);
    expect(await instance.fingerprint()).toEqual(before);
    expect(await listings(server)).toEqual(listed);
    expect(await plan(backup)).toEqual({ added: [], changed: [], removed: [], notKept: [] });
  });

  test('is the same when RabbitMQ itself imports the bytes of a backup', async () => {
    await call('PUT', `vhosts/${at('shop "1"')}`, { description: 'orders and more', tags: 'a,b' });
    await queue('orders/ü', { 'x-max-length': 5 }, 'shop "1"');
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, instance.connection);
    await instance.close();
    instance = await makeRabbitmqInstance(server, 'broker');
    const file = join(server.folder, 'import.json');
    await writeFile(file, backup.bytes);
    await server.ctl('import_definitions', file);
    expect(await instance.fingerprint()).toEqual(before);
  });
});

describe('messages', () => {
  test('are never deleted: a queue that holds some is left, and it is told', async () => {
    await queue('other arguments', { 'x-max-length': 5 });
    await queue('same');
    const backup = await takeBackup(engine, instance.connection);
    const before = await instance.fingerprint();
    await call('DELETE', 'queues/%2F/other%20arguments');
    await call('PUT', 'vhosts/busy');
    await call('PUT', 'vhosts/idle');
    const full = [
      ['/', 'other arguments'],
      ['/', 'classic'],
      ['/', 'quorum'],
      ['/', 'stream'],
      ['busy', 'in it'],
    ] as const;
    for (const [vhost, name] of full) {
      const type = name === 'quorum' || name === 'stream' ? { 'x-queue-type': name } : {};
      await queue(name, type, vhost);
      await publish(vhost, name);
      await queue(`empty ${name}`, type, vhost);
    }
    await publish('/', 'same');
    await queue('empty', {}, 'idle');
    // The figures of streams and quorum queues come late.
    await vi.waitFor(
      async () => {
        for (const found of await instance.management.list('queues'))
          if (!String(found.name).startsWith('empty'))
            expect([found.name, found.messages]).toEqual([found.name, 1]);
      },
      { timeout: 20_000, interval: 200 },
    );
    const planned = await plan(backup);
    expect(planned.notKept).toHaveLength(5);
    expect(planned.notKept.join('\n')).toContain('queue "other arguments" in vhost "/"');

    const report = await restore(backup);
    expect(report.notKept).toHaveLength(5);
    for (const name of ['other arguments', 'classic', 'quorum', 'stream', 'busy'])
      expect(report.notKept.join('\n')).toContain(`"${name}"`);
    const left = await instance.management.list('queues');
    expect(left.map(({ name }) => name).sort()).toEqual(
      ['classic', 'empty in it', 'in it', 'other arguments', 'quorum', 'same', 'stream'].sort(),
    );
    expect(await instance.management.list('vhosts')).toHaveLength(2);

    for (const [vhost, name] of full) await call('DELETE', `queues/${at(vhost, name)}`);
    expect((await restore(backup)).notKept).toEqual([]);
    expect(await instance.fingerprint()).toEqual(before);
    const [kept] = await instance.management
      .list('queues/%2F?columns=name,messages&name=same&page=1')
      .then((page) => (page as unknown as { items: { messages: number }[] }).items);
    expect(kept?.messages).toBe(1);
  });

  test('that came after a restore make its undo fail before it changes anything', async () => {
    await queue('orders');
    const backup = await takeBackup(engine, instance.connection);
    await call('DELETE', 'queues/%2F/orders');
    await call('PUT', 'global-parameters/later', { value: 1 });
    const before = await instance.fingerprint();
    const ticket = ticketFor(backup.source);
    await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
    await publish('/', 'orders');
    await vi.waitFor(
      async () => expect((await instance.management.list('queues'))[0]).toMatchObject({ messages: 1 }),
      { timeout: 10_000, interval: 100 },
    );
    const after = await instance.fingerprint();
    const undo = () => engine.undo?.undo(instance.connection, ticket.id, never);
    await expect(undo()).rejects.toMatchObject({
      code: 'InstanceBusy',
      message: expect.stringContaining('queue "orders" in vhost "/"'),
    });
    expect(await instance.fingerprint()).toEqual(after);
    await call('DELETE', 'queues/%2F/orders/contents');
    await vi.waitFor(
      async () => expect((await instance.management.list('queues'))[0]).toMatchObject({ messages: 0 }),
      { timeout: 10_000, interval: 100 },
    );
    await undo();
    expect(await instance.fingerprint()).toEqual(before);
  });
});

describe('the user that Forestay connects as', () => {
  test('is neither changed nor removed, and stays in', async () => {
    const backup = await takeBackup(engine, instance.connection);
    await call('PUT', `user-limits/${server.username}/max-channels`, { value: 100 });
    await call('PUT', 'vhosts/new');
    const planned = await plan(backup);
    const report = await restore(backup);
    expect(report.notKept).toEqual([expect.stringContaining(`"${server.username}"`)]);
    expect(planned.notKept).toEqual(report.notKept);
    const self = await call('GET', `users/${server.username}`);
    expect(self).toMatchObject({ limits: { 'max-channels': 100 } });
    await call('DELETE', `user-limits/${server.username}/max-channels`);
  });
});

describe('a limit of queues', () => {
  test('of the backup or of the broker is in the way of no restore', async () => {
    for (const name of ['one', 'two', 'three']) await queue(name);
    await call('PUT', 'vhost-limits/%2F/max-queues', { value: 2 });
    const backup = await takeBackup(engine, instance.connection);
    const before = await instance.fingerprint();
    for (const name of ['one', 'two', 'three']) await call('DELETE', `queues/%2F/${name}`);
    await call('PUT', 'vhost-limits/%2F/max-queues', { value: 1 });
    await queue('other');
    await restore(backup);
    expect(await instance.fingerprint()).toEqual(before);
  });
});

describe('what an import does not do', () => {
  test('is done all the same: limits of users that the backup has not are gone, and back after an undo', async () => {
    await call('PUT', 'users/limited', { password: 'x', tags: '' });
    await call('PUT', 'user-limits/limited/max-channels', { value: 3 });
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, instance.connection);
    await call('PUT', 'user-limits/limited/max-connections', { value: 0 });
    await call('DELETE', 'user-limits/limited/max-channels');
    const changed = await instance.fingerprint();
    const ticket = ticketFor(backup.source);
    const report = await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
    expect(report.notKept).toEqual([]);
    expect(await instance.fingerprint()).toEqual(before);
    await engine.undo?.undo(instance.connection, ticket.id, never);
    expect(await instance.fingerprint()).toEqual(changed);
  });

  test('a vhost that rabbitmqctl made is no different when it was made anew', async () => {
    await server.ctl('add_vhost', 'by rabbitmqctl');
    const backup = await takeBackup(engine, instance.connection);
    await call('DELETE', 'vhosts/by%20rabbitmqctl');
    expect((await restore(backup)).notKept).toEqual([]);
    expect(await plan(backup)).toEqual({ added: [], changed: [], removed: [], notKept: [] });
  });
});

describe('queues that the broker named', () => {
  test('are not in a backup, which no broker would take otherwise, and no restore touches them', async () => {
    const declare = `Queue = rabbit_misc:r(<<"/">>, queue, <<"amq.gen-1">>), {new, _} = rabbit_amqqueue:declare(Queue, true, false, [], none, <<"x">>), rabbit_binding:add({binding, rabbit_misc:r(<<"/">>, exchange, <<"amq.topic">>), <<"k">>, Queue, []}, <<"x">>).`;
    await server.ctl('eval', declare);
    await queue('named');
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, instance.connection);
    expect(backup.bytes.toString()).not.toContain('amq.gen');
    await call('DELETE', 'queues/%2F/named');
    expect((await restore(backup)).notKept).toEqual([]);
    expect(await instance.fingerprint()).toEqual(before);
    await call('DELETE', 'queues/%2F/amq.gen-1');
    expect((await restore(backup)).notKept).toEqual([]);
  });
});

describe('a reason of the broker', () => {
  test('shows no URI, be it with spaces or without a scheme', async () => {
    for (const uri of ['http://user:s3cret pass-word@host', 'user:s3cret-pass-word@host']) {
      const backup = await takeBackup(engine, instance.connection);
      const text = backup.bytes.toString();
      const item = { component: 'federation-upstream', name: 'up', value: { uri }, vhost: '/' };
      const bytes = Buffer.from(text.replace('"parameters":[', `"parameters":[${JSON.stringify(item)}`));
      const details = { ...backup.source.details, count: Number(backup.source.details.count) + 1 };
      const error: unknown = await restore({ bytes, source: { ...backup.source, details } }).catch((e) => e);
      expect(error).toMatchObject({
        code: 'InstanceRefused',
        message: expect.stringContaining('not a valid URI'),
      });
      expect(String(error)).not.toMatch(/s3cret|pass-word/);
    }
  });
});

describe('what expires when nobody uses it', () => {
  test('faster than a restore takes is no reason for it to fail: it is told', async () => {
    await queue('short-lived', { 'x-expires': 900_001 });
    await queue('other');
    await call('PUT', 'exchanges/%2F/with%20it', { type: 'fanout', durable: true, auto_delete: true });
    for (const source of ['amq.topic', 'with%20it'])
      await call('POST', `bindings/%2F/e/${source}/q/short-lived`, { routing_key: 'a' });
    const { bytes, source } = await takeBackup(engine, instance.connection);
    for (const name of ['short-lived', 'other']) await call('DELETE', `queues/%2F/${name}`);
    const backup = { bytes: Buffer.from(bytes.toString().replace('900001', '1')), source };
    // Before the broker is read again the queue is gone.
    const proxy = await startFaultProxy(`http://${server.host}:${server.port}`);
    proxy.setRule(({ method }) => (method === 'GET' ? { kind: 'delay', ms: 50 } : undefined));
    try {
      const port = Number(new URL(proxy.url).port);
      const { notKept } = await restore(backup, engine.parseConnection({ ...instance.connection, port }));
      expect(notKept.join('\n')).toContain('removed it again: queue "short-lived" in vhost "/"');
    } finally {
      await proxy.close();
    }
    expect((await instance.management.list('queues')).map(({ name }) => name)).toEqual(['other']);
  });
});

describe('when something fails', () => {
  let proxy: FaultProxy;
  let backup: TakenBackup;
  let before: string[];
  let after: string[];
  let through: ReturnType<typeof engine.parseConnection>;
  beforeEach(async () => {
    proxy = await startFaultProxy(`http://${server.host}:${server.port}`);
    through = engine.parseConnection({ ...instance.connection, port: Number(new URL(proxy.url).port) });
    await queue('kept', { 'x-max-length': 5 });
    await queue('only in the backup');
    await call('PUT', 'vhosts/gone', { description: 'is only in the backup' });
    await call('PUT', 'users/gone', { password: 'secret', tags: 'monitoring' });
    await call('PUT', 'policies/%2F/only', { pattern: '^x', definition: { 'max-length': 3 } });
    await call('POST', 'bindings/%2F/e/amq.topic/q/kept', { routing_key: 'a.b' });
    after = await instance.fingerprint();
    backup = await takeBackup(engine, instance.connection);
    await spoil();
    before = await instance.fingerprint();
  });
  afterEach(() => proxy.close());

  async function spoil() {
    await call('DELETE', 'queues/%2F/only%20in%20the%20backup');
    await call('DELETE', 'queues/%2F/kept');
    await queue('kept', { 'x-max-length': 6 });
    await queue('extra');
    await call('POST', 'bindings/%2F/e/amq.topic/q/extra', { routing_key: 'c' });
    await call('DELETE', 'vhosts/gone');
    await call('DELETE', 'users/gone');
    await call('DELETE', 'policies/%2F/only');
    await call('PUT', 'users/extra', { password: 'secret', tags: '' });
  }

  test.for(['is answered with an error', 'loses its answer'] as const)(
    'promise 3: whichever order of a restore %s, the broker is as it was, or the restore is done',
    { timeout: 240_000 },
    async (how) => {
      let [failures, orders] = [0, 0];
      for (let failing = 1; failing <= orders + 1; failing++) {
        let seen = 0;
        proxy.setRule(({ method }) => {
          if (method === 'GET' || ++seen !== failing) return undefined;
          if (how === 'loses its answer') return { kind: 'reset', when: 'after' };
          return {
            kind: 'answer',
            status: 500,
            headers: { 'content-type': 'application/json' },
            body: '{"error":"x"}',
          };
        });
        const ticket = ticketFor(backup.source);
        const outcome = await engine.restore(through, streamOf(backup.bytes), ticket, never).then(
          () => 'switched',
          (error: ForestayError) => error.code,
        );
        orders = Math.max(orders, seen);
        const state = await engine.settleRestore(instance.connection, ticket.id, never);
        expect(await instance.remains()).toEqual([]);
        if (state === 'switched') {
          expect([failing, await instance.fingerprint()]).toEqual([failing, after]);
          expect(outcome).toBe('switched');
          await spoil();
          await engine.undo?.discard(instance.connection, ticket.id, never);
        } else {
          failures++;
          expect([failing, outcome]).toEqual([failing, 'InstanceUnreachable']);
          expect([failing, await instance.fingerprint()]).toEqual([failing, before]);
        }
      }
      expect(failures).toBeGreaterThan(8);
    },
  );

  test('because it is canceled amid its changes, everything is put back', async () => {
    const canceled = new AbortController();
    let seen = 0;
    proxy.setRule(({ method }) => {
      if (method === 'GET' || ++seen !== 8) return undefined;
      setTimeout(() => canceled.abort(), 50);
      return { kind: 'silence' };
    });
    const restoring = engine.restore(
      through,
      streamOf(backup.bytes),
      ticketFor(backup.source),
      canceled.signal,
    );
    await expect(restoring).rejects.toMatchObject({ code: 'Canceled' });
    expect(seen).toBeGreaterThan(8);
    expect(await instance.fingerprint()).toEqual(before);
    expect(await instance.remains()).toEqual([]);
  });

  test('and the broker stays away, who settles the restore later puts everything back', async () => {
    for (const failing of [4, 9]) {
      let seen = 0;
      proxy.setRule(({ method }) =>
        (method !== 'GET' && ++seen >= failing) || seen >= failing
          ? { kind: 'reset', when: 'before' }
          : undefined,
      );
      const ticket = ticketFor(backup.source);
      await expect(engine.restore(through, streamOf(backup.bytes), ticket, never)).rejects.toMatchObject({
        code: 'InstanceUnreachable',
      });
      expect(await instance.remains()).not.toEqual([]);
      expect(await engine.settleRestore(instance.connection, ticket.id, never)).toBe('clean');
      expect(await instance.fingerprint()).toEqual(before);
    }
  });

  describe('the worker', () => {
    let folder: string;
    let worker: ChildProcess;
    const id = randomUUID();
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'crash-'));
      await writeFile(join(folder, 'backup'), backup.bytes);
    });
    afterEach(async () => {
      worker.kill('SIGKILL');
      if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'exit');
      await rm(folder, { recursive: true });
    });

    async function startWorker(holdAt: WorkerOrder['holdAt']): Promise<void> {
      worker = fork(join(import.meta.dirname, '../restore-worker.ts'), { stdio: 'inherit' });
      const order: WorkerOrder = {
        engine: {
          module: new URL('../../../src/engines/rabbitmq/engine.ts', import.meta.url).href,
          make: 'createRabbitmqEngine',
          options: {},
        },
        ...{
          connection: through,
          file: join(folder, 'backup'),
          source: backup.source,
          id,
          attempt: 1,
          holdAt,
        },
      };
      worker.send(order);
      if (holdAt !== 'never') expect((await once(worker, 'message'))[0]).toBe(`at ${holdAt}`);
    }
    const settle = () => engine.settleRestore(instance.connection, id, never);
    const restoreAgain = async () => {
      const ticket = ticketFor(backup.source, { id, attempt: 2 });
      await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
      expect(await instance.fingerprint()).toEqual(after);
    };
    /** Lets the worker go until it has sent so many changes, and keeps the answer to the last one back. */
    async function stopAmidChanges(): Promise<void> {
      let seen = 0;
      proxy.setRule(({ method }) => (method !== 'GET' && ++seen === 8 ? { kind: 'silence' } : undefined));
      await startWorker('never');
      await vi.waitFor(() => expect(seen).toBe(8), { timeout: 30_000, interval: 20 });
    }

    test.for(['switch', 'amid its changes'] as const)(
      'is killed (%s): everything is put back, and the next attempt restores',
      async (step) => {
        if (step === 'amid its changes') {
          await stopAmidChanges();
          expect(await instance.fingerprint()).not.toEqual(before);
        } else await startWorker(step);
        worker.kill('SIGKILL');
        await once(worker, 'exit');
        expect(await settle()).toBe('clean');
        expect(await instance.fingerprint()).toEqual(before);
        await restoreAgain();
        expect(await settle()).toBe('switched');
      },
    );

    test.for(['start', 'switch', 'amid its changes'] as const)(
      'is frozen (%s) and wakes when another has restored: it changes nothing',
      async (step) => {
        if (step === 'amid its changes') await stopAmidChanges();
        else await startWorker(step);
        worker.kill('SIGSTOP');
        expect(await settle()).toBe('clean');
        await restoreAgain();
        const ended = once(worker, 'message');
        if (step === 'amid its changes') {
          // A connection that breaks makes it roll back, if it may.
          proxy.setRule(undefined);
          proxy.dropConnections();
        }
        worker.kill('SIGCONT');
        if (step !== 'amid its changes') worker.send('go');
        const [said] = await ended;
        expect(said).toMatch(/^failed (AttemptSuperseded|InstanceBusy|InstanceUnreachable)/);
        expect(await instance.fingerprint()).toEqual(after);
        expect(await settle()).toBe('switched');
      },
    );
  });
});

describe('a journal that somebody changed', () => {
  test('is not believed', async () => {
    const id = randomUUID();
    await call('PUT', `global-parameters/forestay-${id}`, { value: { state: 'done', before: 'AAAA' } });
    await expect(engine.settleRestore(instance.connection, id, never)).rejects.toMatchObject({
      code: 'InstanceRefused',
    });
    await engine.undo?.discard(instance.connection, id, never);
  });

  test('cannot be read by those who see global parameters but not hashes of passwords, and its state is sealed, too', async () => {
    const backup = await takeBackup(engine, instance.connection);
    const ticket = ticketFor(backup.source);
    await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
    const path = `global-parameters/forestay-${ticket.id}`;
    const { value } = await call<{ value: { state: string; before: string } }>('GET', path);
    expect(value.state).toBe('done');
    expect(() => gunzipSync(Buffer.from(value.before, 'base64'))).toThrow('incorrect header check');
    await call('PUT', path, { value: { ...value, state: 'applying' } });
    await expect(engine.settleRestore(instance.connection, ticket.id, never)).rejects.toMatchObject({
      code: 'InstanceRefused',
    });
    await engine.undo?.discard(instance.connection, ticket.id, never);
    expect((await instance.management.list('users')).map(({ name }) => name)).toEqual([server.username]);
  });
});

/** What RabbitMQ's own tool says is there, but for what is ours. Each call takes about a second. */
async function listings(of: RabbitmqServer): Promise<string[]> {
  const calls = [
    ['list_users'],
    ['list_exchanges', 'name', 'type', 'durable', 'auto_delete', 'internal', 'arguments'],
    ['list_queues', 'name', 'durable', 'auto_delete', 'type', 'arguments'],
    ['list_bindings'],
  ];
  const found: string[] = [];
  for (const args of calls) {
    const lines = (await of.ctl(...args)).split('\n').filter((line) => !isOurs(line));
    found.push(...lines.sort().map((line) => `${args[0]}: ${line}`));
  }
  const exported = JSON.parse(await of.ctl('export_definitions', '-')) as Record<string, unknown>;
  for (const [section, items] of Object.entries(exported)) {
    const list = (Array.isArray(items) ? items : [items]) as { name?: string }[];
    found.push(
      ...list.filter(({ name }) => !isOurs(name)).map((item) => `${section}: ${JSON.stringify(item)}`),
    );
  }
  expect(found.length).toBeGreaterThan(300);
  return found.sort();
}
