import { open } from 'node:fs/promises';
import { runTool } from '../../pipeline/child-process.ts';
import type { StallWatch } from './stall.ts';
import { type Toolset, toolPath } from './tools.ts';

/** How an archive gets into a database. */
export interface LoadingTools {
  readonly tools: Toolset;
  readonly env: Readonly<Record<string, string>>;
  readonly watch: StallWatch;
  /** Arguments of pg_restore. */
  readonly args: readonly string[];
  /** How many jobs may load an archive in files at once. */
  readonly jobs: number;
}

/**
 * Entries of an archive's list that must come one after the other, behind all others: grants, of which one may need another
 * (who was granted something grants it on, as themselves), and what needs grants. Source: _tocEntryRestorePass in
 * src/bin/pg_dump/pg_backup_archiver.c; with several jobs pg_restore keeps to these passes, but to no order within one.
 */
const inOrder =
  /^\d+; \d+ \d+ (?:ACL|DEFAULT ACL|EVENT TRIGGER|MATERIALIZED VIEW DATA|(?:COMMENT|SECURITY LABEL) \S+ EVENT TRIGGER) /;

/** Loads an archive in files straight into a database, several entries at once; the first error ends it. */
export async function loadInParallel(
  archive: string,
  database: string,
  { tools, args, env, jobs, watch }: LoadingTools,
): Promise<void> {
  const restore = (more: readonly string[]) =>
    runTool(toolPath(tools, 'pg_restore'), [...more, archive], { env, signal: watch.signal });
  const lists = { all: `${archive}.all`, atOnce: `${archive}.at-once`, inOrder: `${archive}.in-order` };
  await restore(['--list', `--file=${lists.all}`]);
  await split(lists);
  const common = ['--exit-on-error', '--no-password', ...args, '--dbname', database];
  await restore([...common, `--jobs=${jobs}`, `--use-list=${lists.atOnce}`]);
  await restore([...common, `--use-list=${lists.inOrder}`]);
}

/** Line by line: there may be millions, of large objects. */
async function split(lists: Record<'all' | 'atOnce' | 'inOrder', string>): Promise<void> {
  await using all = await open(lists.all);
  await using atOnce = await open(lists.atOnce, 'wx', 0o600);
  await using ordered = await open(lists.inOrder, 'wx', 0o600);
  let kept: [string, string] = ['', ''];
  const write = async () => {
    await atOnce.appendFile(kept[0]);
    await ordered.appendFile(kept[1]);
    kept = ['', ''];
  };
  for await (const line of all.readLines()) {
    kept[inOrder.test(line) ? 1 : 0] += `${line}\n`;
    if (kept[0].length + kept[1].length > pieceLength) await write();
  }
  await write();
}

const pieceLength = 256 * 1024;
