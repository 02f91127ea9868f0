import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyRetention } from '../../src/core/retention.ts';

const now = new Date('2026-01-31T00:00:00.000Z');
const daysAgo = (days: number) => new Date(now.getTime() - days * 86_400_000);

describe('retention', () => {
  test('keeps what is young, the newest so many, and what a restore uses; removes the rest', () => {
    const backups = [
      { id: 1, finishedAt: daysAgo(40), inUse: false },
      { id: 2, finishedAt: daysAgo(39), inUse: true },
      { id: 3, finishedAt: daysAgo(20), inUse: false },
      { id: 4, finishedAt: daysAgo(1), inUse: false },
    ];
    const verdicts = applyRetention(backups, { minBackupCount: 1, retentionDays: 30 }, now);
    expect(verdicts.map(({ backup, action, reason }) => [backup.id, action, reason])).toEqual([
      [4, 'keep', 'one of the newest'],
      [3, 'keep', 'young enough'],
      [2, 'keep', 'in use by a restore'],
      [1, 'remove', 'older than the retention time'],
    ]);
  });

  test('promise 9: never removes the last good backup, nor one that a restore is using, whatever the policy and the ages', () => {
    const backup = fc.record({
      id: fc.integer({ min: 1, max: 1000 }),
      finishedAt: fc.integer({ min: -100, max: 10_000 }).map(daysAgo),
      inUse: fc.boolean(),
    });
    const policy = fc.record({
      minBackupCount: fc.integer({ min: -3, max: 9 }),
      retentionDays: fc.integer({ min: 0, max: 99 }),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(backup, { selector: (each) => each.id, maxLength: 30 }),
        policy,
        (backups, rule) => {
          const verdicts = applyRetention(backups, rule, now);
          expect(verdicts).toHaveLength(backups.length);
          const removed = verdicts
            .filter(({ action }) => action === 'remove')
            .map(({ backup: each }) => each);
          const newest = Math.max(...backups.map((each) => each.finishedAt.getTime()));
          expect(removed.length).toBeLessThanOrEqual(
            Math.max(0, backups.length - Math.max(1, rule.minBackupCount)),
          );
          for (const each of removed) {
            expect(each.inUse).toBe(false);
            expect(now.getTime() - each.finishedAt.getTime()).toBeGreaterThan(
              rule.retentionDays * 86_400_000,
            );
          }
          if (backups.length > 0) {
            const kept = verdicts
              .filter(({ action }) => action === 'keep')
              .map(({ backup: each }) => each.finishedAt.getTime());
            expect(kept).toContain(newest);
          }
        },
      ),
    );
  });
});
