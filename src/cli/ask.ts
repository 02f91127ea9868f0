import { readFile } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import type * as Clack from '@clack/prompts';
import { interrupted, usageError } from './errors.ts';

/** Questions go to stderr, so that stdout holds results only. */

export interface SecretQuestion {
  /** `Encryption key` */
  readonly what: string;
  /** Ask twice: for secrets that are set, not for those that are checked. */
  readonly confirm: boolean;
  /** Read it from here instead of asking. */
  readonly file?: string | undefined;
  readonly signal: AbortSignal;
}

/** A secret: from a file, from the terminal without showing it, or all of stdin where that is no terminal. Never from argv. */
export async function askSecret(question: SecretQuestion): Promise<string> {
  const { what, file, signal } = question;
  if (file !== undefined) return oneLine(await readFile(file, 'utf8'), `The file ${file}`);
  if (!process.stdin.isTTY) return oneLine(await readStdin(signal), 'What came on stdin');
  const clack = await import('@clack/prompts');
  const validate = (value: string | undefined) => (value ? undefined : 'It must not be empty.');
  const secret = answered(clack, await clack.password({ message: what, validate, ...terminal(signal) }));
  if (!question.confirm) return secret;
  const again = answered(clack, await clack.password({ message: `${what} again`, ...terminal(signal) }));
  if (again !== secret) throw usageError('The two entries differ; nothing was changed.');
  return secret;
}

/** Whether to go on with something that is hard to take back. Without a terminal there is nobody to ask: yes. */
export async function confirmed(
  message: string,
  options: { yes?: true | undefined; signal: AbortSignal },
): Promise<void> {
  if (options.yes || !isInteractive()) return;
  const clack = await import('@clack/prompts');
  const answer = await clack.confirm({ message, initialValue: false, ...terminal(options.signal) });
  if (!answered(clack, answer)) throw usageError('Nothing was changed.');
}

export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** Options of every prompt. */
export function terminal(signal: AbortSignal) {
  return { input: process.stdin, output: process.stderr, signal };
}

/** In a prompt Ctrl-C is a key, no signal. */
export function answered<T>(clack: typeof Clack, answer: T): Exclude<T, symbol> {
  if (clack.isCancel(answer)) throw interrupted('SIGINT');
  return answer as Exclude<T, symbol>;
}

/** All of stdin, which is no terminal. */
export async function readStdin(signal: AbortSignal): Promise<string> {
  const leave = () => process.stdin.destroy(signal.reason);
  signal.addEventListener('abort', leave);
  try {
    signal.throwIfAborted();
    return await readText(process.stdin);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

function oneLine(content: string, where: string): string {
  const line = content.replace(/\r?\n$/, '');
  if (line === '') throw usageError(`${where} is empty; it must hold the secret.`);
  if (/[\r\n]/.test(line))
    throw usageError(`${where} has several lines; it must hold the secret and nothing else.`);
  return line;
}
