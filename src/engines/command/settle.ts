import { ForestayError } from '../../core/errors.ts';
import { endMarkedProcesses } from '../../pipeline/marked-processes.ts';
import type { Target } from './connection.ts';
import { runShort } from './run.ts';

/**
 * Kills the restore commands of all attempts on this machine, then lets the settle command say what they achieved. Without
 * one the answer is `clean`: what a command that was killed left undone or done, the next restore replaces.
 */
export async function settleRestore(
  target: Target,
  ticketId: string,
  signal: AbortSignal,
): Promise<'switched' | 'clean'> {
  await endMarkedProcesses({ FORESTAY_RESTORE_ID: ticketId, FORESTAY_VERB: 'restore' }, signal);
  if (!target.command.settle) return 'clean';
  const said = (await runShort(target, 'settle', { signal, env: { FORESTAY_RESTORE_ID: ticketId } })).trim();
  if (said === 'switched' || said === 'clean') return said;
  throw new ForestayError(
    'Misconfigured',
    `The settle command of ${target.command.name} must write "switched" or "clean".`,
    {
      hint: 'An operator must look at the command; docs/engines/command.md says what it is to do.',
    },
  );
}
