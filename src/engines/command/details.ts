import { ForestayError } from '../../core/errors.ts';
import type { RestoreTicket } from '../engine.ts';
import type { Target } from './connection.ts';

/** A backup goes back through the command that made it: nothing else is known to read it. */
export function assertCompatible({ command }: Target, source: RestoreTicket['source']): void {
  if (source.details.command === command.name) return;
  throw new ForestayError(
    'IncompatibleBackup',
    `The backup was made by the command ${JSON.stringify(source.details.command)}, the instance is of ${command.name}.`,
    { hint: 'Give commands that read each other’s backups the same name at all sites.' },
  );
}
