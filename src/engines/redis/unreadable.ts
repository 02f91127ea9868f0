import { ForestayError } from '../../core/errors.ts';

/** For bytes that are no RDB, or one of a kind this version does not know. */
export function unreadable(): never {
  throw new ForestayError('IncompatibleBackup', 'The data is not an RDB that this version can read.', {
    hint: 'Use another backup, or a newer version of Forestay. Nothing was changed.',
  });
}
