import { ForestayError } from '../../core/errors.ts';
import { endActingUsers } from './acting-user.ts';
import { type ApiLimits, openApi } from './api.ts';
import { examineBroker } from './broker.ts';
import type { Target } from './connection.ts';
import { deleteJournal, readJournal } from './journal.ts';
import { planChanges } from './plan.ts';
import { findLeft } from './plan-restore.ts';
import { readDefinitions } from './read.ts';
import { putBack } from './settle.ts';

/** Puts the definitions back that the restore replaced. Refuses when that would delete messages. */
export async function undoRestore(
  target: Target,
  ticketId: string,
  limits: ApiLimits,
  signal: AbortSignal,
): Promise<void> {
  using own = openApi(target, { limits, signal });
  const journal = await readJournal(own, ticketId);
  if (journal?.state !== 'done') {
    throw new ForestayError('UndoUnavailable', 'What this restore replaced is not kept any more.', {
      hint: 'Restore the backup you need instead.',
    });
  }
  await endActingUsers(own, ticketId);
  const { user } = await examineBroker(own, target.vhost);
  const current = await readDefinitions(own, target.vhost);
  const changes = planChanges({ current, wanted: journal.before }, user);
  refuseLeft(await findLeft(own, target, changes));
  const left = await putBack(own, target, ticketId, journal.before, signal);
  // What is said of our own user is as it was before, not something that is left.
  assertPutBack(left.filter((sentence) => !changes.notKept.includes(sentence)));
  await deleteJournal(own, ticketId);
}

/** Forgets what the restore replaced. */
export async function discardReplaced(
  target: Target,
  ticketId: string,
  limits: ApiLimits,
  signal: AbortSignal,
): Promise<void> {
  using own = openApi(target, { limits, signal });
  await endActingUsers(own, ticketId);
  await deleteJournal(own, ticketId);
}

function refuseLeft(left: readonly string[]): void {
  if (left.length === 0) return;
  throw new ForestayError(
    'InstanceBusy',
    `The undo would delete messages: ${some(left)} Nothing was changed.`,
    {
      hint: 'Stop what reads and writes these queues, move or consume their messages, or delete them yourself; then undo again.',
    },
  );
}

function assertPutBack(left: readonly string[]): void {
  if (left.length === 0) return;
  throw new ForestayError(
    'InstanceBusy',
    `The undo did not put everything back: ${some(left)} The rest is undone.`,
    {
      hint: 'Of queues: stop what uses them, and move or consume their messages. Change other things yourself, with rabbitmqctl. Then undo again.',
    },
  );
}

function some(left: readonly string[]): string {
  return `${left.slice(0, 5).join(' ')}${left.length > 5 ? ` And ${left.length - 5} more.` : ''}`;
}
