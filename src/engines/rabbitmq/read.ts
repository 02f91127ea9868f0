import { setTimeout as sleep } from 'node:timers/promises';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import type { Api } from './api.ts';
import { writeBackup } from './backup-file.ts';
import { type Definitions, fromBroker, NotDefinitions } from './definitions.ts';
import { brokenAnswer } from './errors.ts';
import { digestOf, isObject, type Json } from './json.ts';

const tries = 8;
const pauseMs = 250;

/**
 * The definitions of one moment. The broker puts its answer together from one table after the other while others write,
 * so it is asked until two answers in a row are equal: what stood in every table both when the first answer was made and
 * when the second one was, stood there together at the moment between the two. Throws `InstanceBusy`.
 */
export async function readSettled(
  api: Api,
  vhost: string | undefined,
  signal: AbortSignal,
): Promise<Definitions> {
  let previous: string | undefined;
  for (let attempt = 0; attempt < tries; attempt++) {
    // The second is read at once: the shorter the time between the two, the likelier it is quiet.
    if (attempt > 0 && attempt % 2 === 0) await pause(signal);
    const definitions = await readDefinitions(api, vhost);
    const digest = digestOf(writeBackup(definitions, ''));
    if (digest === previous) return definitions;
    previous = digest;
  }
  throw new ForestayError('InstanceBusy', 'The definitions change all the time.', {
    hint: 'Something declares and deletes durable queues, exchanges or bindings without a pause: let it rest for a moment, then try again.',
  });
}

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

async function pause(signal: AbortSignal): Promise<void> {
  await sleep(pauseMs, undefined, { signal }).catch(() => {
    throw abortError(signal);
  });
}
