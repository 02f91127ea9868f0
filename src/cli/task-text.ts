import type { BackupBody } from '../http/v1/backups.ts';
import { bytes } from './output.ts';

/** What backups and restores have in common. */
export type TaskBody = Pick<BackupBody, 'id' | 'status' | 'error' | 'progress' | 'attempt'>;

/** A status, with what a running task is doing. */
export function taskState({ status, progress }: TaskBody): string {
  if (status !== 'running' || !progress) return status;
  return `${status} (${progress.phase ?? 'starting'}, ${bytes(progress.bytes)})`;
}

/** What went wrong, as members of `details`. */
export function errorLines({ error }: TaskBody): Record<string, string | undefined> {
  return { error: error ? `${error.message} (${error.code})` : undefined, hint: error?.hint ?? undefined };
}
