import { runTool } from '../../pipeline/child-process.ts';

/**
 * The shell of SQLite, sqlite3: https://sqlite.org/cli.html. What it is to do stands in its arguments, because the end of a
 * script on stdin would look to it like that of a whole one when this process dies while it is written.
 */

/** No settings of the user's, no prompts, an end at the first error. */
const usual = ['-init', '/dev/null', '-batch', '-bail'];

/** How it is run. */
export interface Shell {
  /** The name that PATH finds, or an absolute path. */
  readonly program: string;
  /** How long to wait for the locks of other programs, in milliseconds. */
  readonly lockMs: number;
}

/** The program and its arguments. */
export function commandLine(
  { program, lockMs }: Shell,
  database: string,
  commands: readonly string[],
): string[] {
  return [program, ...usual, existing(database), `.timeout ${lockMs}`, ...commands];
}

/** Runs commands, one after the other; resolves with what they wrote. */
export async function runSqlite(
  shell: Shell,
  database: string,
  commands: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const [program = '', ...args] = commandLine(shell, database, commands);
  const { stdout } = await runTool(program, args, { signal });
  return stdout.trim();
}

/** Makes a copy of `database` in `copy` and then `source` what `database` holds. */
export function exchangeCommands(
  { lockMs }: Shell,
  database: string,
  source: string,
  copy: string,
): string[] {
  return [
    // Who may write waits from here on, so that the copy is what will be replaced.
    'BEGIN IMMEDIATE',
    '.connection 1',
    `.open ${quoted(existing(database))}`,
    `.timeout ${lockMs}`,
    `.backup ${quoted(copy)}`,
    '.connection 0',
    'COMMIT',
    restoreCommand(source),
  ];
}

/** One transaction: programs that have the database open see the old data or the new, and a crash leaves the old. */
export function restoreCommand(source: string): string {
  return `.restore ${quoted(existing(source))}`;
}

/** By its path SQLite makes a database that is not there, and an empty one would be backed up, or restored. */
function existing(database: string): string {
  return `file:${encodeURI(database).replace(/[?#]/g, encodeURIComponent)}?mode=rw`;
}

/** As commands of the shell take text: https://sqlite.org/cli.html#dot_command_arguments. Paths have no control characters. */
export function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}
