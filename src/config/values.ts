import { ForestayError } from '../core/errors.ts';
import type { Environment } from './environment.ts';

/** The parts between the separators, without spaces around them; none is empty. */
export function list(text: string | undefined, separator: string): string[] {
  return (text ?? '')
    .split(separator)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** A whole number from `min` to `max`; throws `Misconfigured`. */
export function integer(env: Environment, name: string, fallback: number, min: number, max: number): number {
  const text = env[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw misconfigured(`${name} is "${text}".`, `It must be a whole number from ${min} to ${max}.`);
  }
  return value;
}

/** One of the allowed words; throws `Misconfigured`. */
export function oneOf<T extends string>(
  env: Environment,
  name: string,
  allowed: readonly T[],
  fallback: T,
): T {
  const text = env[name] ?? fallback;
  const value = allowed.find((candidate) => candidate === text);
  if (value === undefined)
    throw misconfigured(`${name} is "${text}".`, `It must be one of ${allowed.join(', ')}.`);
  return value;
}

/** A setting that is wrong. The hint says what to write instead. */
export function misconfigured(message: string, hint: string, cause?: unknown): ForestayError {
  return new ForestayError('Misconfigured', message, { hint, cause });
}
