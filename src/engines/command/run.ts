import { ForestayError } from '../../core/errors.ts';
import { ChildExit, runTool } from '../../pipeline/child-process.ts';
import type { Target } from './connection.ts';

export type Verb = 'backup' | 'restore' | 'probe' | 'version' | 'settle' | 'undo' | 'discard';

/** How long a command may take that moves no data, in milliseconds. */
const shortMs = 5 * 60 * 1000;
const defaultTimeoutSeconds = 6 * 60 * 60;

/** The variables that tell a command what to do; nothing about an instance is in its arguments. */
export function environmentOf(
  { command, parameters }: Target,
  verb: Verb,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const given = Object.entries(parameters).map(([name, value]) => [`FORESTAY_PARAMETER_${name}`, value]);
  return { ...command.env, ...Object.fromEntries(given), FORESTAY_VERB: verb, ...more };
}

/** Runs a command that moves no data; resolves with what it wrote. */
export async function runShort(
  target: Target,
  verb: Verb,
  options: { readonly signal: AbortSignal; readonly env?: Readonly<Record<string, string>> },
): Promise<string> {
  const [program = '', ...args] = target.command[verb as 'backup'] ?? [];
  try {
    const { stdout } = await runTool(program, args, {
      env: environmentOf(target, verb, options.env),
      cwd: target.command.folder,
      signal: options.signal,
      timeoutMs: Math.min(shortMs, timeoutMs(target)),
    });
    return stdout;
  } catch (error) {
    throw translateExit(error, target, verb);
  }
}

export interface Deadline {
  readonly signal: AbortSignal;
  release(): void;
}

/** Aborts when the signal does, or when the command takes too long. Must be released. */
export function deadlineFor(target: Target, verb: Verb, signal: AbortSignal): Deadline {
  const late = new AbortController();
  const ms = timeoutMs(target);
  const timer = setTimeout(() => {
    const message = `The ${verb} command of ${target.command.name} did not finish within ${ms / 1000} s.`;
    late.abort(
      new ForestayError('ToolFailed', message, {
        hint: 'An operator may raise timeout_seconds of the command.',
      }),
    );
  }, ms);
  return { signal: AbortSignal.any([signal, late.signal]), release: () => clearTimeout(timer) };
}

function timeoutMs({ command }: Target): number {
  return (command.timeout_seconds ?? defaultTimeoutSeconds) * 1000;
}

/**
 * Exit codes have the meaning of sysexits.h (BSD); others are `ToolFailed`. What the command said is passed on without the
 * secrets it was given.
 */
export function translateExit(error: unknown, target: Target, verb: Verb): Error {
  if (!(error instanceof ForestayError)) return error instanceof Error ? error : new Error(String(error));
  if (!(error.cause instanceof ChildExit)) return error;
  const { exitCode, signal } = error.cause;
  const stderr = withoutSecrets(error.cause.stderr, target);
  const exit = new ChildExit(exitCode, signal, stderr);
  const said = stderr.trim().slice(-2000);
  const message = `The ${verb} command of ${target.command.name} ${exit.message}${said === '' ? '.' : `: ${said}`}`;
  const [code, hint] = (exitCode !== null && meanings[exitCode]) || (['ToolFailed', undefined] as const);
  return new ForestayError(code, message, { ...(hint === undefined ? {} : { hint }), cause: exit });
}

const meanings: Readonly<Record<number, readonly [ForestayError['code'], string?]>> = {
  // EX_DATAERR
  65: ['IncompatibleBackup', 'The command does not take this backup. Use another one.'],
  // EX_NOINPUT
  66: ['UndoUnavailable', 'Restore the backup you need instead.'],
  // EX_UNAVAILABLE
  69: ['InstanceUnreachable', 'Check that the instance is there and runs; then try again.'],
  // EX_CANTCREAT
  73: ['InstanceFull', 'Make room for the restored data beside the present data.'],
  // EX_TEMPFAIL
  75: ['InstanceBusy', 'Try again when the instance is less busy.'],
  // EX_NOPERM
  77: ['InstanceRefused', 'Check the parameters of the connection and the rights of the worker.'],
  // Of a shell: may not be run, is not there.
  126: ['ToolMissing', 'Let the worker run the programs of the command.'],
  127: ['ToolMissing', 'Install the programs of the command on the machine of the worker.'],
  // EX_CONFIG
  78: ['Misconfigured', 'An operator must look at the command.'],
};

/** Parameters that are secret, and everything that is in `env`, where passwords are put. Very short ones would hit by chance. */
function withoutSecrets(text: string, { command, parameters }: Target): string {
  const secrets = [
    ...Object.values(command.env ?? {}),
    ...Object.entries(parameters).flatMap(([name, value]) =>
      command.parameters?.[name]?.secret ? [value] : [],
    ),
  ];
  return secrets
    .flatMap((secret) => [secret, encodeURIComponent(secret)])
    .filter((secret) => secret.length >= 4)
    .sort((a, b) => b.length - a.length)
    .reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
}
