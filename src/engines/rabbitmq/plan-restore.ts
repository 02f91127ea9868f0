import type { Readable } from 'node:stream';
import type { RestorePlan, RestoreTicket } from '../engine.ts';
import { type Api, type ApiLimits, openApi } from './api.ts';
import { examineBroker } from './broker.ts';
import type { Target } from './connection.ts';
import { describeThing, textOf } from './describe.ts';
import { assertCompatible } from './details.ts';
import { type Changes, planChanges } from './plan.ts';
import { lookAtQueues, reasonToLeave } from './queues.ts';
import { readDefinitions } from './read.ts';
import { readWhole } from './restore.ts';

/** What a restore would do now. Changes nothing. */
export async function planRestore(
  target: Target,
  bytes: Readable,
  source: RestoreTicket['source'],
  limits: ApiLimits,
  signal: AbortSignal,
): Promise<RestorePlan> {
  using api = openApi(target, { limits, signal });
  try {
    const broker = await examineBroker(api, target.vhost);
    const details = await assertCompatible(api, broker, target, source);
    const wanted = await readWhole(bytes, details, signal);
    const current = await readDefinitions(api, target.vhost);
    const changes = planChanges({ current, wanted }, broker.user);
    const describe = ({ section, item }: Changes['added'][number]) =>
      describeThing(section, item, target.vhost);
    return {
      added: changes.added.map(describe),
      changed: changes.changed.map((change) => ({ ...describe(change), differs: change.differs })),
      removed: changes.removed.map(describe),
      notKept: [...changes.notKept, ...(await findLeft(api, target, changes))],
    };
  } finally {
    bytes.destroy();
  }
}

/** Queues that should go or be made anew, and hold messages or are in use: they would be left. A sentence each. */
export async function findLeft(api: Api, target: Target, changes: Changes): Promise<string[]> {
  const isQueue = ({ section }: { section: string }) => section === 'queues';
  const queues = [...changes.changed.filter(isQueue), ...changes.removed.filter(isQueue)];
  const nameOf = (item: Changes['added'][number]['item']) => ({
    vhost: target.vhost ?? String(item.vhost),
    name: String(item.name),
  });
  const figures = await lookAtQueues(api, new Set(queues.map(({ item }) => nameOf(item).vhost)));
  return queues.flatMap(({ section, item }) => {
    const reason = reasonToLeave(figures, nameOf(item));
    return reason === undefined
      ? []
      : [
          `The ${textOf(section, item, target.vhost)} should go or be made anew, but ${reason}: it will be left.`,
        ];
  });
}
