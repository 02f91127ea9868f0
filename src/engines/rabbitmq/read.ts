import { setTimeout as sleep } from 'node:timers/promises';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import type { Api } from './api.ts';
import { writeBackup } from './backup-file.ts';
import { type Definitions, fromBroker, NotDefinitions } from './definitions.ts';
import { brokenAnswer } from './errors.ts';
import { digestOf, isObject, type Json } from './json.ts';

export interface SettleLimits {
  /** For how many milliseconds a backup waits for a moment in which the definitions do not change; it asks twice in any case. */
  readonly settleMs: number;
}

/** A broker at work rests within seconds; a deployment that declares everything anew takes longer. */
export const usualSettling: SettleLimits = { settleMs: 30_000 };

/**
 * The definitions of one moment. The broker puts its answer together from one table after the other while others write,
 * so it is asked until two answers in a row are equal: what stood in every table both when the first answer was made and
 * when the second one was, stood there together at the moment between the two. Throws `InstanceBusy` after `settleMs`.
 */
export async function readSettled(
  api: Api,
  vhost: string | undefined,
  { settleMs }: SettleLimits,
  signal: AbortSignal,
): Promise<Definitions> {
  const deadline = performance.now() + settleMs;
  let pauseMs = firstPauseMs;
  let previous: string | undefined;
  for (let answers = 1; answers <= 2 || performance.now() < deadline; answers++) {
    const definitions = await readDefinitions(api, vhost);
    const digest = digestOf(writeBackup(definitions, ''));
    if (digest === previous) return definitions;
    previous = digest;
    // The second is read at once: the shorter the time between the two, the likelier it is quiet.
    if (answers % 2 === 1) continue;
    await pause(Math.min(pauseMs, Math.max(0, deadline - performance.now())), signal);
    // Growing, they do not keep step with something that changes the definitions at regular times.
    pauseMs = Math.min(1.5 * pauseMs, longestPauseMs);
  }
  throw new ForestayError('InstanceBusy', 'The definitions change all the time.', {
    hint: 'Something declares and deletes durable queues, exchanges or bindings without a pause: let it rest for a moment, then try again.',
  });
}

const firstPauseMs = 100;
const longestPauseMs = 2000;

/** What the broker says now. */
export async function readDefinitions(api: Api, vhost: string | undefined): Promise<Definitions> {
  const exported = await api.get(['definitions']);
  if (exported === undefined) throw brokenAnswer('The definitions cannot be read', 'the broker has none');
  try {
    return fromBroker(await withVhostMetadata(api, exported), vhost);
  } catch (error) {
    if (!(error instanceof NotDefinitions)) throw error;
    throw brokenAnswer('The definitions cannot be read', error.message);
  }
}

/** Before 3.11 the broker imports descriptions and tags of vhosts with its definitions, but does not export them. */
async function withVhostMetadata(api: Api, exported: Json): Promise<Json> {
  if (!isObject(exported) || !Array.isArray(exported.vhosts)) return exported;
  const vhosts = exported.vhosts as readonly Json[];
  if (vhosts.every((vhost) => isObject(vhost) && vhost.metadata !== undefined)) return exported;
  const listed = await api.get(['vhosts'], 'columns=name,metadata');
  const metadata = new Map(
    (Array.isArray(listed) ? (listed as readonly Json[]) : []).flatMap((each) =>
      isObject(each) && each.metadata !== undefined ? [[each.name, each.metadata] as const] : [],
    ),
  );
  const complete = vhosts.map((vhost) =>
    isObject(vhost) ? { metadata: metadata.get(vhost.name) ?? {}, ...vhost } : vhost,
  );
  return { ...exported, vhosts: complete };
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => {
    throw abortError(signal);
  });
}
