import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { ForestayError } from '../../core/errors.ts';
import { journalName } from './acting-user.ts';
import type { Api } from './api.ts';
import { parseBackup, writeBackup } from './backup-file.ts';
import type { Definitions } from './definitions.ts';
import { isObject } from './json.ts';

/**
 * What a restore is doing, kept in the broker itself (a global parameter named after the ticket), so that whoever comes after a
 * crash finds it: what the definitions were before, and whether all of the new ones are in place.
 */
export interface Journal {
  /** `applying`: the broker is between the two. `done`: it has switched; `before` is kept for an undo. */
  readonly state: 'applying' | 'done';
  readonly before: Definitions;
}

/** Of the compressed definitions, in characters. */
const maxLength = 16 * 1024 * 1024;

export async function writeJournal(api: Api, ticketId: string, { state, before }: Journal): Promise<void> {
  const text = [...writeBackup(before, '')].join('');
  const packed = (await promisify(gzip)(text)).toString('base64');
  if (packed.length > maxLength) {
    throw new ForestayError(
      'InstanceFull',
      'The present definitions are too large to be kept for a return.',
      {
        hint: 'Register the vhosts of this broker as instances of their own. Nothing was changed.',
      },
    );
  }
  await api.put(['global-parameters', journalName(ticketId)], {
    name: journalName(ticketId),
    value: { format: 1, state, before: packed },
  });
}

export async function readJournal(api: Api, ticketId: string): Promise<Journal | undefined> {
  const found = await api.get(['global-parameters', journalName(ticketId)]);
  const value = isObject(found) ? found.value : undefined;
  if (!isObject(value)) return undefined;
  const { state, before } = value;
  if ((state !== 'applying' && state !== 'done') || typeof before !== 'string') throw unreadable(ticketId);
  const text = await promisify(gunzip)(Buffer.from(before, 'base64')).catch((cause: unknown) => {
    throw unreadable(ticketId, cause);
  });
  return { state, before: parseBackup(text.toString('utf8')) };
}

export function deleteJournal(api: Api, ticketId: string): Promise<void> {
  return api.delete(['global-parameters', journalName(ticketId)]);
}

function unreadable(ticketId: string, cause?: unknown): ForestayError {
  return new ForestayError(
    'InstanceRefused',
    `The global parameter ${journalName(ticketId)} at the broker is not what a restore wrote.`,
    {
      hint: 'Somebody changed it. Compare the definitions with a backup, then delete it: rabbitmqctl clear_global_parameter',
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
