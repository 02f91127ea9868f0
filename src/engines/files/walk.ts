import { createHash } from 'node:crypto';
import { spawnSource } from '../../pipeline/child-process.ts';
import { restorePrefix } from '../folder-names.ts';
import { longestPath } from './archive-guard.ts';

/** What a walk over a folder saw. */
export interface Walk {
  /** Equal for two walks if and only if nothing was added, removed or changed in between, as far as inodes tell. */
  readonly digest: string;
  /** Everything that an archive of the folder holds as a member, the folder itself included. */
  readonly members: number;
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  /** The first device node, when there is one. */
  readonly device: string | undefined;
  /** The beginning of the first path too long for tar to make it again, when there is one. */
  readonly tooLong: string | undefined;
  /** What was changed last, for people. */
  readonly newest: { readonly path: string; readonly at: string } | undefined;
}

export interface WalkOptions {
  readonly find: string;
  readonly signal: AbortSignal;
  /** Things that vanish during the walk are no failure. */
  readonly tolerant?: boolean;
}

/** Type, inode, times of change, size, mode, owner, links: everything whose change a backup must notice; then the name. */
const format = '%y %i %C@ %T@ %s %m %U %G %n %P\\0';

/**
 * Reads the inodes of everything in a folder, not the contents. Memory does not grow with the number of files. The order in
 * which the folder is read does not matter: the digests of the entries are added up.
 */
export async function walk(folder: string, options: WalkOptions): Promise<Walk> {
  const source = spawnSource(
    options.find,
    [folder, '-name', `${restorePrefix}*`, '-prune', '-o', '-printf', format],
    { signal: options.signal, ...(options.tolerant ? { acceptedExitCodes: [1] } : {}) },
  );
  const seen = makeCounter();
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(0); end !== -1; end = bytes.indexOf(0, start)) {
      seen.add(bytes.subarray(start, end));
      start = end + 1;
    }
    rest = bytes.subarray(start);
  }
  return seen.result();
}

/** Where the path begins: after nine other fields. */
function pathAt(record: Buffer): number {
  let at = 0;
  for (let field = 0; field < 9; field++) at = record.indexOf(' ', at) + 1;
  return at;
}

function makeCounter() {
  const sum = new BigUint64Array(2);
  const uids = new Set<number>();
  const gids = new Set<number>();
  let members = 0;
  let device: string | undefined;
  let tooLong: string | undefined;
  let newest = { path: '', at: '' };
  return {
    add(record: Buffer): void {
      const hash = createHash('sha256').update(record).digest();
      sum[0] = (sum[0] ?? 0n) + hash.readBigUInt64LE(0);
      sum[1] = (sum[1] ?? 0n) + hash.readBigUInt64LE(8);
      const [type = '', , changedAt = '', , , , uid, gid, , ...words] = record.toString('utf8').split(' ');
      if (type !== 's') members += 1;
      if (type === 'b' || type === 'c') device ??= words.join(' ');
      if (record.length > longestPath && record.length - pathAt(record) > longestPath)
        tooLong ??= words.join(' ').slice(0, 200);
      uids.add(Number(uid));
      gids.add(Number(gid));
      if (Number(changedAt) > Number(newest.at)) newest = { path: words.join(' ') || '.', at: changedAt };
    },
    result: (): Walk => ({
      digest: `${sum[0]} ${sum[1]}`,
      members,
      uids: [...uids].sort((a, b) => a - b),
      gids: [...gids].sort((a, b) => a - b),
      device,
      tooLong,
      newest: newest.at === '' ? undefined : newest,
    }),
  };
}
