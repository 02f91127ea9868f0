import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from './errors.ts';

/**
 * What a site knows that no manifest says: its instances with their connections, and all their keys. A copy lies in every store,
 * sealed under the master key, so that the site can be made anew from a store and that key. docs/stored-format.md specifies it.
 */

const Sealed = Type.String({ pattern: '^[A-Za-z0-9+/]+={0,2}$' });
const Time = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' });

const InstanceState = Type.Object({
  /** The internal integer id. */
  id: Type.Integer({ minimum: 1 }),
  instance_id: Type.String(),
  name: Type.String(),
  engine: Type.String(),
  pool: Type.String(),
  backup_guid: Type.String(),
  exclude_from_auto_backup: Type.Boolean(),
  state: Type.Union([Type.Literal('provisioned'), Type.Literal('deleted')]),
  created_at: Time,
  updated_at: Time,
  /** Sealed once more by itself, as in the database; base64. */
  connection: Type.Union([Sealed, Type.Null()]),
});
export type InstanceState = Static<typeof InstanceState>;

const KeyState = Type.Object({
  instance_id: Type.String(),
  version: Type.Integer({ minimum: 1 }),
  /** As above. */
  passphrase: Sealed,
  set_by: Type.Union([Type.Literal('system'), Type.Literal('user')]),
  created_at: Time,
});
export type KeyState = Static<typeof KeyState>;

const SiteState = Type.Object({
  format: Type.Literal(1),
  site_id: Type.String(),
  written_at: Time,
  instances: Type.Array(InstanceState),
  keys: Type.Array(KeyState),
});
export type SiteState = Static<typeof SiteState>;

/** Where the copies of a site's states lie, relative to the store's prefix. */
export function statePrefix(siteId: string): string {
  return `sites/${siteId}/`;
}
export function stateKey(siteId: string, at: Date): string {
  return `${statePrefix(siteId)}state-${at.getTime()}`;
}

/** The parts of a key that `stateKey` made, or undefined when it is none. */
export function parseStateKey(key: string): { siteId: string; at: Date } | undefined {
  const match = /^sites\/([0-9a-f-]{36})\/state-(\d{10,16})$/.exec(key);
  return match?.[1] && match[2] ? { siteId: match[1], at: new Date(Number(match[2])) } : undefined;
}

/** What a sealed state is bound to. */
export function stateBinding(siteId: string): string {
  return `state:${siteId}`;
}

/** Reads an opened state. Throws `BackupDamaged`, or `IncompatibleBackup` for one of a newer version. */
export function parseSiteState(json: string): SiteState {
  const value: unknown = JSON.parse(json);
  const format = (value as { format?: unknown } | null)?.format;
  if (typeof format === 'number' && format > 1) {
    throw new ForestayError('IncompatibleBackup', `The state of the site has format ${format}.`, {
      hint: 'Use the version of Forestay that wrote it, or a newer one.',
    });
  }
  if (!Value.Check(SiteState, value))
    throw new ForestayError(
      'BackupDamaged',
      'The state of the site is damaged: fields are missing or wrong.',
    );
  return value;
}
