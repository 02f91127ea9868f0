import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { ForestayError } from '../../core/errors.ts';
import { journalKeyName, journalName } from './acting-user.ts';
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

/**
 * Sealed, since policymakers see global parameters, too, and definitions hold hashes of passwords and URIs. The key lies where only
 * administrators look: as what seems the hash of the password of a user, of whom there is no password.
 */
export async function writeJournal(api: Api, ticketId: string, { state, before }: Journal): Promise<void> {
  const text = [...writeBackup(before, '')].join('');
  const packed = await promisify(gzip)(text);
  if ((packed.length * 4) / 3 > maxLength) {
    throw new ForestayError(
      'InstanceFull',
      'The present definitions are too large to be kept for a return.',
      {
        hint: 'Register the vhosts of this broker as instances of their own. Nothing was changed.',
      },
    );
  }
  const key = (await readKey(api, ticketId)) ?? (await makeKey(api, ticketId));
  await api.put(['global-parameters', journalName(ticketId)], {
    name: journalName(ticketId),
    value: { format: 2, state, before: seal(packed, key, state) },
  });
}

export async function readJournal(api: Api, ticketId: string): Promise<Journal | undefined> {
  const found = await api.get(['global-parameters', journalName(ticketId)]);
  const value = isObject(found) ? found.value : undefined;
  if (!isObject(value)) return undefined;
  const { state, before } = value;
  const key = await readKey(api, ticketId);
  if ((state !== 'applying' && state !== 'done') || typeof before !== 'string' || key === undefined)
    throw unreadable(ticketId);
  try {
    const packed = unseal(Buffer.from(before, 'base64'), key, state);
    return { state, before: parseBackup((await promisify(gunzip)(packed)).toString('utf8')) };
  } catch (cause) {
    throw unreadable(ticketId, cause);
  }
}

/** Does nothing where there is none. */
export async function deleteJournal(api: Api, ticketId: string): Promise<void> {
  await api.delete(['global-parameters', journalName(ticketId)]);
  await api.delete(['users', journalKeyName(ticketId)]);
}

const keyBytes = 32;
/** Before the hash itself. */
const saltBytes = 4;
const nonceBytes = 12;
const tagBytes = 16;

async function makeKey(api: Api, ticketId: string): Promise<Buffer> {
  const hash = randomBytes(saltBytes + keyBytes);
  await api.put(['users', journalKeyName(ticketId)], { password_hash: hash.toString('base64'), tags: '' });
  return hash.subarray(saltBytes);
}

async function readKey(api: Api, ticketId: string): Promise<Buffer | undefined> {
  const user = await api.get(['users', journalKeyName(ticketId)]);
  if (!isObject(user) || typeof user.password_hash !== 'string') return undefined;
  const hash = Buffer.from(user.password_hash, 'base64');
  return hash.length === saltBytes + keyBytes ? hash.subarray(saltBytes) : undefined;
}

/** AES-256-GCM; what it says of its state is sealed with it. */
function seal(packed: Buffer, key: Buffer, state: string): string {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from(state));
  return Buffer.concat([nonce, cipher.update(packed), cipher.final(), cipher.getAuthTag()]).toString(
    'base64',
  );
}

function unseal(sealed: Buffer, key: Buffer, state: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(Buffer.from(state));
  decipher.setAuthTag(sealed.subarray(-tagBytes));
  return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, -tagBytes)), decipher.final()]);
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
