import { setTimeout as sleep } from 'node:timers/promises';
import { abortError } from '../../pipeline/abort.ts';
import { type Api, forEach, isAddressable } from './api.ts';
import { isObject, type Json } from './json.ts';

/** The broker's figures are up to five seconds old. */
const figuresMs = 6000;

export interface QueueName {
  readonly vhost: string;
  readonly name: string;
}

export interface Figures extends QueueName {
  readonly type: string;
  /** Undefined where the broker does not collect figures, or not yet. */
  readonly messages: number | undefined;
  readonly consumers: number | undefined;
}

/** The queues of some vhosts by `idOf`. */
export type QueueFigures = ReadonlyMap<string, Figures>;

export async function lookAtQueues(api: Api, vhosts: Iterable<string>): Promise<QueueFigures> {
  const found = new Map<string, Figures>();
  const number = (value: Json | undefined) => (typeof value === 'number' ? value : undefined);
  await forEach(vhosts, async (vhost) => {
    const listed = isAddressable(vhost)
      ? await api.get(['queues', vhost], 'columns=name,type,messages,consumers')
      : undefined;
    for (const queue of Array.isArray(listed) ? (listed as readonly Json[]) : []) {
      if (!isObject(queue)) continue;
      const name = String(queue.name);
      found.set(idOf({ vhost, name }), {
        vhost,
        name,
        // Where the broker does not say there is only this one.
        type: String(queue.type ?? 'classic'),
        messages: number(queue.messages),
        consumers: number(queue.consumers),
      });
    }
  });
  return found;
}

/** Why a queue must not be deleted, in words that follow "it"; undefined when that may be tried. */
export function reasonToLeave(figures: QueueFigures, queue: QueueName): string | undefined {
  if (!isAddressable(queue.vhost, queue.name)) return 'has a name that the management API cannot address';
  const { messages = 0, consumers = 0 } = figures.get(idOf(queue)) ?? {};
  if (messages > 0) return `holds ${messages} messages`;
  return consumers > 0 ? `has ${consumers} consumers` : undefined;
}

/**
 * Deletes queues that hold nothing and that nobody reads, and calls back with the reason for each that is left. Whether a
 * classic queue is empty the broker checks in the same step. It cannot for other types: a quorum queue is asked for a
 * message first (one that came this very second is put back), a stream must be empty for so long that the figures tell.
 */
export async function deleteEmptyQueues(
  api: Api,
  queues: readonly QueueName[],
  signal: AbortSignal,
  onLeft: (queue: QueueName, reason: string) => void,
): Promise<void> {
  if (queues.length === 0) return;
  const vhosts = new Set(queues.map(({ vhost }) => vhost));
  const figures = await lookAtQueues(api, vhosts);
  const streams: QueueName[] = [];
  await forEach(queues, async (queue) => {
    const reason = reasonToLeave(figures, queue);
    if (reason !== undefined) return onLeft(queue, reason);
    const type = figures.get(idOf(queue))?.type;
    if (type === 'stream') streams.push(queue);
    else if (type !== undefined && !(await tryDelete(api, queue, type)))
      onLeft(queue, 'holds messages, or is in use');
  });
  if (streams.length === 0) return;
  await sleep(figuresMs, undefined, { signal }).catch(() => {
    throw abortError(signal);
  });
  const later = await lookAtQueues(api, vhosts);
  await forEach(streams, async (queue) => {
    const reason = reasonToLeave(later, queue);
    if (reason !== undefined) onLeft(queue, reason);
    else if (later.get(idOf(queue))?.messages !== 0)
      onLeft(queue, 'is a stream of which no figures are known');
    else await api.delete(['queues', queue.vhost, queue.name]);
  });
}

async function tryDelete(api: Api, { vhost, name }: QueueName, type: string): Promise<boolean> {
  const path = ['queues', vhost, name];
  if (type !== 'quorum') return api.tryDelete(path, 'if-empty=true&if-unused=true');
  const got = await api.post([...path, 'get'], {
    ...{ count: 1, ackmode: 'ack_requeue_true', encoding: 'base64', truncate: 1 },
  });
  if (!Array.isArray(got) || got.length > 0) return false;
  await api.delete(path);
  return true;
}

function idOf({ vhost, name }: QueueName): string {
  return JSON.stringify([vhost, name]);
}
