import type { TaskBody } from './await-task.ts';
import { bytes } from './output.ts';

/** A status, with what a running task is doing. */
export function taskState({ status, progress }: TaskBody): string {
  if (status !== 'running' || !progress) return status;
  return `${status} (${progress.phase ?? 'starting'}, ${bytes(progress.bytes)})`;
}

/** What went wrong, as members of `details`. */
export function errorLines({ error }: TaskBody): Record<string, string | undefined> {
  return { error: error ? `${error.message} (${error.code})` : undefined, hint: error?.hint ?? undefined };
}
