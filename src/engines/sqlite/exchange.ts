import { runTool } from '../../pipeline/child-process.ts';
import type { Place } from '../roots.ts';
import type { AttemptFiles } from './names.ts';
import { commandLine, exchangeCommands, restoreCommand, type Shell } from './shell.ts';

/** By which `settleRestore` finds what an earlier attempt started, and which may go on without its worker. */
export function markOf(ticketId: string): Record<string, string> {
  return { FORESTAY_SQLITE_RESTORE: ticketId };
}

/** Makes what is staged the instance's data. What it replaces is kept if and only if that was done. */
export async function exchange(
  place: Place,
  { staged, replaced, kept }: AttemptFiles,
  ticketId: string,
  shell: Shell,
  signal: AbortSignal,
): Promise<void> {
  const commands = commandLine(shell, place.path, exchangeCommands(shell, place.path, staged, replaced));
  const args = [place.parent, staged, replaced, kept, ...commands];
  await runTool('/bin/sh', ['-c', exchangeScript, 'sh', ...args], { signal, env: markOf(ticketId) });
}

/** One script to its end, whatever becomes of the worker: a change that is made is known as made. */
const exchangeScript = `set -eu
folder=$1 staged=$2 replaced=$3 kept=$4
shift 4
umask 077
trap 'rm -f "$replaced" "$replaced-journal"' EXIT
trap 'exit 143' TERM
"$@" > /dev/null
mv "$replaced" "$kept"
rm -f "$staged"
sync "$folder"`;

/** Copies what a restore replaced over the database again. May be repeated. */
export async function putBack(
  place: Place,
  kept: string,
  ticketId: string,
  shell: Shell,
  signal: AbortSignal,
): Promise<void> {
  const [program = '', ...args] = commandLine(shell, place.path, [restoreCommand(kept)]);
  await runTool(program, args, { signal, env: markOf(ticketId) });
}
