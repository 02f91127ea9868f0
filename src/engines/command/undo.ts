import { ForestayError } from '../../core/errors.ts';
import type { Target } from './connection.ts';
import { runShort } from './run.ts';

/** Throws `UndoUnavailable` when the command has no undo, or its undo exits with 66. */
export async function undoRestore(target: Target, ticketId: string, signal: AbortSignal): Promise<void> {
  if (!target.command.undo) {
    throw new ForestayError('UndoUnavailable', 'Restores by this command cannot be undone.', {
      hint: 'Restore an older backup instead.',
    });
  }
  await runShort(target, 'undo', { signal, env: { FORESTAY_RESTORE_ID: ticketId } });
}

export async function discardReplaced(target: Target, ticketId: string, signal: AbortSignal): Promise<void> {
  if (!target.command.discard) return;
  await runShort(target, 'discard', { signal, env: { FORESTAY_RESTORE_ID: ticketId } });
}
