import type { RestoreBody } from '../http/v1/restores.ts';
import { details, moment } from './output.ts';
import { errorLines, taskState } from './task-text.ts';

/** A restore for people: also what the instance could not take, what was noticed, and until when it can be undone. */
export function describeRestore(restore: RestoreBody): string {
  const facts = details({
    id: String(restore.id),
    status: taskState(restore),
    backup: restore.backup_id === null ? 'of another site or instance' : String(restore.backup_id),
    'data of': moment(restore.metadata.restored_from),
    triggered: moment(restore.triggered_at),
    'status changed': moment(restore.finished_at),
    method: restore.method ?? undefined,
    'no connections for': restore.switch_ms === null ? undefined : `${restore.switch_ms} ms`,
    'undo until': restore.undo_until ? moment(restore.undo_until) : undefined,
    undone: restore.undone_at ? moment(restore.undone_at) : undefined,
    ...errorLines(restore),
  });
  return [
    facts,
    ...section('not kept:', restore.not_kept ?? []),
    ...section('notes:', restore.notes ?? []),
  ].join('\n');
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...lines.map((line) => `  - ${line}`)];
}
