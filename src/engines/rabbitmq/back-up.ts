import { Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { onAbort } from '../../pipeline/abort.ts';
import type { BackupSource } from '../engine.ts';
import { type Api, type ApiLimits, openApi } from './api.ts';
import { writeBackup } from './backup-file.ts';
import { type Broker, examineBroker } from './broker.ts';
import type { Target } from './connection.ts';
import type { Definitions } from './definitions.ts';
import { describeDefinitions } from './details.ts';
import { readSettled, type SettleLimits } from './read.ts';

/** The definitions of one moment as a file that `rabbitmqctl import_definitions` takes. */
export async function backUp(
  target: Target,
  limits: ApiLimits & SettleLimits,
  signal: AbortSignal,
): Promise<BackupSource> {
  const api = openApi(target, { limits, signal });
  try {
    const broker = await examineBroker(api, target.vhost);
    const definitions = await readSettled(api, target.vhost, limits, signal);
    const stream = Readable.from(pieces(api, target, broker, definitions), {
      objectMode: false,
      highWaterMark: pieceBytes,
    });
    const release = onAbort(signal, (reason) => stream.destroy(reason));
    stream.on('close', () => {
      release();
      api[Symbol.dispose]();
    });
    return {
      stream,
      tool: { name: 'rabbitmq management API', version: broker.version },
      engineVersion: broker.version,
      mediaType: 'application/json',
      suffix: '.json',
      compressed: false,
      details: describeDefinitions(definitions, target),
    };
  } catch (error) {
    api[Symbol.dispose]();
    throw error;
  }
}

const pieceBytes = 64 * 1024;

async function* pieces(
  api: Api,
  target: Target,
  broker: Broker,
  definitions: Definitions,
): AsyncGenerator<Buffer> {
  let parts: string[] = [];
  let length = 0;
  for (const part of writeBackup(definitions, broker.version)) {
    parts.push(part);
    length += part.length;
    if (length < pieceBytes) continue;
    yield Buffer.from(parts.join(''));
    parts = [];
    length = 0;
  }
  // A broker that goes down lists what it still has: only of one that is up afterwards is the list whole.
  const { version } = await examineBroker(api, target.vhost);
  if (version !== broker.version) {
    throw new ForestayError('InstanceBusy', 'The broker was exchanged while it was backed up.', {
      hint: 'It is tried again.',
    });
  }
  yield Buffer.from(parts.join(''));
}
