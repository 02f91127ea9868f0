import { ForestayError } from '../core/errors.ts';

/** What is said of a backup whose bytes are not the ones that were stored. */
export function damaged(what: string, cause?: unknown): ForestayError {
  return new ForestayError('BackupDamaged', what, {
    hint: 'Use another backup of the instance, or the copy of this one in another store.',
    cause,
  });
}

/** Errors of the decompressor, which only say that its input is none. Others are not its own. */
export function isDecompressionError(error: NodeJS.ErrnoException): boolean {
  return /^(Z_|ZSTD_error_)/.test(error.code ?? '');
}
