import type { TaskStatus } from './task.ts';

/** `<backup_guid>-<epoch milliseconds>`: the name of one backup, unique across sites. */
export type BackupId = `${string}-${number}`;

const guidPattern = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const guid = new RegExp(`^${guidPattern}$`, 'i');
const backupId = new RegExp(`^(${guidPattern})-(\\d{10,16})$`, 'i');

export function isGuid(text: string): boolean {
  return guid.test(text);
}

export function formatBackupId(backupGuid: string, at: Date): BackupId {
  return `${backupGuid}-${at.getTime()}`;
}

/** The parts of a `backup_id`, or undefined when the text is none. */
export function parseBackupId(text: string): { backupGuid: string; at: Date } | undefined {
  const match = backupId.exec(text);
  if (!match?.[1] || !match[2]) return undefined;
  const at = new Date(Number(match[2]));
  return Number.isNaN(at.getTime()) ? undefined : { backupGuid: match[1].toLowerCase(), at };
}

/**
 * Whether a backup may be downloaded in the form that opens with *the* key: it is done, the user set a key, and the
 * backup was made with the newest version the user set.
 */
export function isDownloadable(
  backup: { status: TaskStatus; keyVersion: number },
  newestUserKeyVersion: number | null,
): boolean {
  return backup.status === 'done' && backup.keyVersion === newestUserKeyVersion;
}

/** The `backup_guid` within a `backup_id` that we made ourselves. */
export function backupGuidOf(backupId: string): string {
  const parsed = parseBackupId(backupId);
  if (!parsed) throw new TypeError(`"${backupId}" is no backup_id`);
  return parsed.backupGuid;
}
