/** Which backups of one instance may go. A pure rule: it takes a list, a policy and `now`, and says why. */

export interface RetentionPolicy {
  /** The newest so many good backups stay, however old they are. At least 1: the last good backup is never removed. */
  readonly minBackupCount: number;
  /** Days after which a backup beyond that count is removed. */
  readonly retentionDays: number;
}

/** A finished, good backup: expired and failed ones are not this rule's business. */
export interface RetainableBackup {
  readonly id: number;
  readonly finishedAt: Date;
  /** A queued or running restore reads it. */
  readonly inUse: boolean;
}

export interface RetentionVerdict<B> {
  readonly backup: B;
  readonly action: 'keep' | 'remove';
  readonly reason:
    | 'one of the newest'
    | 'young enough'
    | 'in use by a restore'
    | 'older than the retention time';
}

const dayMs = 24 * 60 * 60 * 1000;

/** Verdicts, newest backup first. */
export function applyRetention<B extends RetainableBackup>(
  backups: readonly B[],
  policy: RetentionPolicy,
  now: Date,
): RetentionVerdict<B>[] {
  const keepNewest = Math.max(1, policy.minBackupCount);
  const newestFirst = backups.toSorted(
    (a, b) => b.finishedAt.getTime() - a.finishedAt.getTime() || b.id - a.id,
  );
  return newestFirst.map((backup, position) => {
    const age = now.getTime() - backup.finishedAt.getTime();
    if (position < keepNewest) return { backup, action: 'keep', reason: 'one of the newest' };
    if (age <= policy.retentionDays * dayMs) return { backup, action: 'keep', reason: 'young enough' };
    if (backup.inUse) return { backup, action: 'keep', reason: 'in use by a restore' };
    return { backup, action: 'remove', reason: 'older than the retention time' };
  });
}
