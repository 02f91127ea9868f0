import { type ErrorCode, ForestayError } from '../core/errors.ts';
import { ChildExit } from './child-process.ts';

/** What a foreign error means to users. */
export interface Meaning {
  readonly code: ErrorCode;
  readonly hint: string;
}

/**
 * Makes the function that puts errors of the file system and of programs into the words of the catalogue. `codes` are those
 * of failed system calls (`ENOSPC`); `texts` match what a program that failed wrote to stderr, the first one that does
 * counts. What is in neither stays as it is. `what` was not possible, as a sentence without its point.
 */
export function translatorOf(
  codes: Readonly<Record<string, Meaning>>,
  texts: readonly (readonly [RegExp, Meaning])[],
): (error: unknown, what: string) => Error {
  return (error, what) => {
    if (error instanceof ForestayError) {
      if (error.code !== 'ToolFailed' || !(error.cause instanceof ChildExit)) return error;
      const { stderr } = error.cause;
      const found = texts.find(([pattern]) => pattern.test(stderr));
      if (!found) return error;
      const [pattern, { code, hint }] = found;
      const line = stderr.split('\n').find((each) => pattern.test(each)) ?? stderr;
      return new ForestayError(code, `${what}: ${line.trim().slice(0, 600)}`, { hint, cause: error });
    }
    const code = (error as { code?: unknown } | null)?.code;
    const meaning = typeof code === 'string' ? codes[code] : undefined;
    if (!meaning) return error instanceof Error ? error : new Error(String(error));
    return new ForestayError(meaning.code, `${what} (${code}).`, { hint: meaning.hint, cause: error });
  };
}
