import type { Probe } from '../engine.ts';
import type { Target } from './connection.ts';
import { runShort } from './run.ts';

/** Runs the probe command; each line it writes is a warning. */
export async function probe(target: Target, signal: AbortSignal): Promise<Probe> {
  const { command } = target;
  const said = command.probe
    ? await runShort(target, 'probe', { signal })
    : 'The command has no probe: whether it works shows with the first backup.';
  const warnings = said
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (!command.restore_is_atomic) {
    warnings.push(
      'A restore by this command is not atomic: one that fails half-way may leave the instance changed.',
    );
  }
  return { engineVersion: await readVersion(target, signal), warnings };
}

/** `unknown` where the command cannot tell. */
export async function readVersion(target: Target, signal: AbortSignal): Promise<string> {
  if (!target.command.version) return 'unknown';
  const said = await runShort(target, 'version', { signal });
  return /\d+(\.\d+)*[\w.+-]*/.exec(said)?.[0].slice(0, 64) ?? 'unknown';
}
