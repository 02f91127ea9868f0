import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { abortError } from '../../pipeline/abort.ts';
import { endActingUsers, withActingUser } from './acting-user.ts';
import { type Api, type ApiLimits, openApi } from './api.ts';
import { examineBroker } from './broker.ts';
import type { Target } from './connection.ts';
import { converge } from './converge.ts';
import type { Definitions } from './definitions.ts';
import { deleteJournal, readJournal } from './journal.ts';

/** What the broker had begun to do for a user that is gone it ends; requests are made so small that this is soon. */
const quietMs = 1000;

/**
 * Deletes the users that attempts worked as, so that none of them can change the broker any more. When one had not come to
 * its end, the definitions of before are put back.
 */
export async function settleRestore(
  target: Target,
  ticketId: string,
  limits: ApiLimits,
  signal: AbortSignal,
): Promise<'switched' | 'clean'> {
  using own = openApi(target, { limits, signal });
  if ((await endActingUsers(own, ticketId)) > 0) {
    await sleep(quietMs, undefined, { signal }).catch(() => {
      throw abortError(signal);
    });
  }
  const journal = await readJournal(own, ticketId);
  if (journal?.state === 'done') return 'switched';
  if (journal) await putBack(own, target, ticketId, journal.before, signal);
  // Also where there is no journal: its key comes before it and goes behind it.
  await deleteJournal(own, ticketId);
  return 'clean';
}

/** Makes the broker what it was before a restore. Resolves with what stays different, a sentence each. */
export async function putBack(
  own: Api,
  target: Target,
  ticketId: string,
  before: Definitions,
  signal: AbortSignal,
): Promise<string[]> {
  const { user: self } = await examineBroker(own, undefined);
  const role = `s${randomBytes(4).toString('hex')}`;
  return withActingUser(own, { ticketId, role }, (api, user) =>
    converge({ api, user, self, vhost: target.vhost, wanted: before, signal }),
  );
}
