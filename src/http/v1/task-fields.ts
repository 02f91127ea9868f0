import { type Static, Type } from 'typebox';
import type { ListedBackup } from '../../db/listings.ts';

/** The extra fields that backups and restores share; a client that ignores them sees the documented API. */

export const TaskErrorBody = Type.Object({
  code: Type.String({
    description: 'One CamelCase word of the same catalogue as the `error` of failed requests.',
  }),
  message: Type.String(),
  hint: Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'What to do about it.' }),
});
export type TaskErrorBody = Static<typeof TaskErrorBody>;

export const ProgressBody = Type.Object({
  phase: Type.Unsafe<string | null>({
    type: ['string', 'null'],
    enum: ['preparing', 'transferring', 'verifying', 'switching', null],
  }),
  bytes: Type.Integer({ description: "Bytes of the instance's data that went through so far." }),
  updated_at: Type.String({ format: 'date-time' }),
});
export type ProgressBody = Static<typeof ProgressBody>;

export function taskFields(task: ListedBackup['task']) {
  return {
    status: task.status,
    triggered_at: task.triggeredAt.toISOString(),
    started_at: task.startedAt?.toISOString() ?? null,
    finished_at: task.statusChangedAt.toISOString(),
    error: task.error,
    progress:
      task.status === 'running' && task.progressAt
        ? { phase: task.phase, bytes: task.bytesIn, updated_at: task.progressAt.toISOString() }
        : null,
    attempt: task.attempt,
  };
}
