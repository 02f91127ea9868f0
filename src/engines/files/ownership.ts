import type { Details } from './details.ts';

/** Whether owners can be kept: only root can give files away. */
export interface Ownership {
  readonly keep: boolean;
  readonly uid: number;
}

export function planOwnership(details: Details): Ownership {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return { keep: true, uid };
  const groups = new Set([...(process.getgroups?.() ?? []), process.getgid?.() ?? 0]);
  return {
    keep: details.uids.every((owner) => owner === uid) && details.gids.every((gid) => groups.has(gid)),
    uid,
  };
}

export function notKeptBy({ keep, uid }: Ownership): string[] {
  if (keep) return [];
  return [
    `The owners of the files: the worker is not root, so everything belongs to user ${uid} and its group, and no file is setuid or setgid.`,
  ];
}
