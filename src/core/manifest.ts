import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from './errors.ts';

/**
 * The manifest is the small signed JSON object that makes stored bytes a backup: it is written last, and where it is
 * missing there is no backup. Fields, units and signature are specified in docs/stored-format.md.
 */

/** Bytes of stored data covered by one digest of `data.chunks`; the last chunk may be shorter. */
export const chunkSize = 8 * 1024 * 1024;

/** PBKDF2 rounds of scheme `openssl-pbkdf2`. */
export const pbkdf2Rounds = 600_000;

const Hex = (bytes: number) => Type.String({ pattern: `^[0-9a-f]{${bytes * 2}}$` });
const Time = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' });
const Bytes = Type.Integer({ minimum: 0 });

export const ManifestSchema = Type.Object(
  {
    format: Type.Literal(1),
    /** The site that made the backup; sites that share a store recognise their own by it. */
    site_id: Type.String(),
    /** The internal integer id of the backup at that site. */
    id: Type.Integer({ minimum: 1 }),
    backup_id: Type.String(),
    backup_guid: Type.String(),
    instance_id: Type.String(),
    instance_name: Type.String(),
    engine: Type.String(),
    engine_version: Type.String(),
    tool: Type.Object({ name: Type.String(), version: Type.String() }),
    media_type: Type.String(),
    /** File suffix of the plaintext, with the dot. */
    suffix: Type.String(),
    /** What the engine wants to know again at restore time; only the engine reads it. */
    engine_details: Type.Record(Type.String(), Type.Unknown()),
    triggered_at: Time,
    started_at: Time,
    finished_at: Time,
    key_version: Type.Integer({ minimum: 1 }),
    key_set_by: Type.Union([Type.Literal('system'), Type.Literal('user')]),
    compression: Type.Union([Type.Literal('zstd'), Type.Literal('none')]),
    encryption: Type.Object({
      scheme: Type.Literal('openssl-pbkdf2'),
      salt: Hex(8),
      rounds: Type.Integer({ minimum: 1, maximum: 10_000_000 }),
    }),
    data: Type.Object({
      /** Name of the object, in the same folder as the manifest. */
      name: Type.String({ pattern: '^data(-\\d+)?$' }),
      size: Bytes,
      sha256: Hex(32),
      chunk_size: Type.Integer({ minimum: 1, maximum: 1024 * 1024 * 1024 }),
      chunks: Type.Array(Hex(32)),
    }),
    plaintext: Type.Object({ size: Bytes, hmac: Hex(32) }),
    /** The passphrase, sealed under the master key of the site `site_id`; base64. */
    sealed_key: Type.String(),
    mac: Hex(32),
  },
  { additionalProperties: false },
);

export type Manifest = Static<typeof ManifestSchema>;
export type UnsignedManifest = Omit<Manifest, 'mac'>;

/** Where the parts of a backup lie, relative to the store's prefix. */
export function backupFolder(backupGuid: string, backupId: string): string {
  return `${backupGuid}/${backupId}/`;
}
export function manifestKey(backupGuid: string, backupId: string): string {
  return `${backupFolder(backupGuid, backupId)}manifest.json`;
}
export function dataKey(backupGuid: string, backupId: string, name: string): string {
  return `${backupFolder(backupGuid, backupId)}${name}`;
}
/** Every attempt writes under a name of its own, so that a retry never touches what an older attempt may still write. */
export function dataName(attempt: number): string {
  return attempt === 1 ? 'data' : `data-${attempt}`;
}
/** Which attempt has written under a name. */
export function dataNameAttempt(name: string): number {
  return name === 'data' ? 1 : Number(name.slice('data-'.length));
}

/**
 * Reads a manifest and checks everything that needs no key: that it is one, of a format we know, and that its parts
 * agree with each other. Throws `BackupDamaged`. Whether it is genuine only its signature tells.
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ForestayError('BackupDamaged', 'The manifest of the backup is not readable.', { cause });
  }
  const format = (value as { format?: unknown } | null)?.format;
  if (typeof format === 'number' && format > 1) {
    throw new ForestayError(
      'IncompatibleBackup',
      `The backup has stored format ${format}; this version reads format 1.`,
      {
        hint: 'Restore it with the version of Forestay that made it, or a newer one.',
      },
    );
  }
  if (isTooDeep(value) || !Value.Check(ManifestSchema, value)) {
    throw new ForestayError(
      'BackupDamaged',
      'The manifest of the backup is damaged: fields are missing or wrong.',
    );
  }
  const { data } = value;
  if (data.chunks.length !== Math.ceil(data.size / data.chunk_size)) {
    throw new ForestayError(
      'BackupDamaged',
      'The manifest of the backup is damaged: sizes and digests disagree.',
    );
  }
  return value;
}

/**
 * The bytes a signature covers: JSON without white space, keys sorted by UTF-16 code unit at every level (the rules of
 * RFC 8785 for the values that occur here: strings, integers, booleans, null, arrays, objects).
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).filter(([, member]) => member !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** Deeper than any engine's details; beyond it, functions that call themselves run out of stack. */
const maxDepth = 64;

function isTooDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) return true;
    level = level.flatMap((item) => (item !== null && typeof item === 'object' ? Object.values(item) : []));
  }
  return false;
}
