/**
 * A worker process for tests that kill or freeze it: restores the backup of its parent's message with any engine and reports
 * each step. In the step named by `holdAt` it waits for the message `go`.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { ForestayError } from '../../src/core/errors.ts';
import type { Connection } from '../../src/core/instance.ts';
import type { Engine, RestoreTicket } from '../../src/engines/engine.ts';

export interface WorkerOrder {
  /** A module's URL, the name of the function in it that makes the engine, and what to call it with. */
  readonly engine: { readonly module: string; readonly make: string; readonly options: unknown };
  readonly connection: Connection;
  readonly file: string;
  readonly source: RestoreTicket['source'];
  readonly id: string;
  readonly attempt: number;
  readonly holdAt: 'start' | 'bytes' | 'switch' | 'never';
}

if (process.send) {
  const [order] = (await once(process, 'message')) as [WorkerOrder];
  const report = (text: string) => process.send?.(text);
  const hold = async (step: WorkerOrder['holdAt']) => {
    if (order.holdAt !== step) return;
    const told = once(process, 'message');
    report(`at ${step}`);
    await told;
  };
  const module = (await import(order.engine.module)) as Record<string, (options: unknown) => Engine>;
  const engine = module[order.engine.make]?.(order.engine.options) as Engine;
  const data = await readFile(order.file);
  const bytes = Readable.from(
    (async function* () {
      yield data.subarray(0, data.length / 2);
      await hold('bytes');
      yield data.subarray(data.length / 2);
    })(),
  );
  await hold('start');
  try {
    const ticket: RestoreTicket = {
      id: order.id,
      attempt: order.attempt,
      source: order.source,
      beforeSwitch: async () => {
        // Who held at the start asks too late: by then the attempt is somebody else's.
        if (order.holdAt === 'start')
          throw new ForestayError('AttemptSuperseded', 'another attempt has begun');
        await hold('switch');
      },
      onPhase: () => {},
    };
    await engine.restore(order.connection, bytes, ticket, new AbortController().signal);
    report('done');
  } catch (error) {
    report(`failed ${(error as { code?: string }).code ?? String(error)}`);
  }
  process.disconnect?.();
}
