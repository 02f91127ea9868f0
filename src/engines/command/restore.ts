import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { abortError } from '../../pipeline/abort.ts';
import { runSink } from '../../pipeline/child-process.ts';
import type { RestoreReport, RestoreTicket } from '../engine.ts';
import type { Target } from './connection.ts';
import { assertCompatible } from './details.ts';
import { deadlineFor, environmentOf, translateExit } from './run.ts';

/**
 * Feeds a backup to the restore command. The end of its input is the permission to make the change visible: it comes after all
 * bytes were checked and `beforeSwitch` agreed. In every other case, the death of this process included, the command is killed,
 * and never sees that end.
 */
export async function restore(
  target: Target,
  bytes: Readable,
  ticket: RestoreTicket,
  signal: AbortSignal,
): Promise<RestoreReport> {
  const { command } = target;
  const deadline = deadlineFor(target, 'restore', signal);
  try {
    ticket.onPhase('preparing');
    assertCompatible(target, ticket.source);
    ticket.onPhase('transferring');
    const [program = '', ...args] = command.restore;
    const more = { FORESTAY_RESTORE_ID: ticket.id, FORESTAY_ATTEMPT: String(ticket.attempt) };
    const { input } = runSink(program, args, {
      env: environmentOf(target, 'restore', more),
      cwd: command.folder,
      signal: deadline.signal,
      guardEnd: true,
    });
    await pipeline(bytes, holdingBackTheEnd(ticket), input, { signal: deadline.signal });
  } catch (error) {
    if (deadline.signal.aborted) throw abortError(deadline.signal);
    throw translateExit(error, target, 'restore');
  } finally {
    deadline.release();
    bytes.destroy();
  }
  return {
    method: command.undo ? 'staged' : 'in place',
    switchMs: null,
    undoable: command.undo !== undefined,
    notKept: [],
  };
}

function holdingBackTheEnd(ticket: RestoreTicket): Transform {
  return new Transform({
    transform: (bytes, _encoding, callback) => callback(null, bytes),
    flush(callback) {
      ticket.onPhase('switching');
      ticket.beforeSwitch().then(() => callback(), callback);
    },
  });
}
