import { hasCode } from '../../core/errors.ts';
import { ChildExit } from '../../pipeline/child-process.ts';
import { refuse } from './header.ts';
import { runSqlite, type Shell } from './shell.ts';

/**
 * Checks a staged database, and makes it one that can be copied over the other: SQLite copies between page sizes only where
 * the target has no write-ahead log. Whether there is one is the instance's own, so it stays. Resolves with what is not kept.
 */
export async function prepareStaged(
  staged: string,
  database: string,
  shell: Shell,
  signal: AbortSignal,
): Promise<string[]> {
  const found = await check(staged, shell, signal);
  if (found !== 'ok') throw refuse(`SQLite finds it damaged: ${found.split('\n')[0]?.slice(0, 300)}`);
  const properties = ['PRAGMA journal_mode', 'PRAGMA page_size'];
  const [own = '', ownSize = ''] = (await runSqlite(shell, database, properties, signal)).split('\n');
  const [journal = '', size = ''] = (await runSqlite(shell, staged, properties, signal)).split('\n');
  const change: string[] = [];
  const isLogged = own === 'wal';
  const resized = isLogged && size !== ownSize;
  if (resized) change.push('PRAGMA journal_mode = delete', `PRAGMA page_size = ${Number(ownSize)}`, 'VACUUM');
  if (resized || isLogged !== (journal === 'wal')) {
    change.push(`PRAGMA journal_mode = ${isLogged ? 'wal' : 'delete'}`);
  }
  if (change.length > 0) await runSqlite(shell, staged, change, signal);
  if (!resized) return [];
  return [
    `The size of its pages: it is ${ownSize}, as in the instance, not ${size}. Rows of tables without an INTEGER PRIMARY KEY may have other rowids.`,
  ];
}

/** What SQLite says of it; `ok` when it is whole. */
async function check(staged: string, shell: Shell, signal: AbortSignal): Promise<string> {
  try {
    return await runSqlite(shell, staged, ['PRAGMA integrity_check(10)'], signal);
  } catch (error) {
    // Of what is worse than a wrong index sqlite3 says so by failing.
    if (!hasCode(error, 'ToolFailed') || !(error.cause instanceof ChildExit)) throw error;
    const { stderr } = error.cause;
    if (/malformed|not a database|unsupported file format/.test(stderr)) return stderr.trim();
    throw error;
  }
}
