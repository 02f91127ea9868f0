import { ForestayError } from '../../core/errors.ts';
import type { Session } from './session.ts';

/** What a server says of itself with INFO. */
export interface ServerFacts {
  /** `redis` or `valkey`. */
  readonly product: 'redis' | 'valkey';
  /** As users know it: `7.0.15`. */
  readonly version: string;
  /** Of Redis; what Valkey says it is compatible with. */
  readonly redisVersion: readonly [major: number, minor: number];
  readonly role: string;
  /** Bytes. */
  readonly usedMemory: number;
  /** Bytes that may be used before keys are evicted or writes refused; 0 for no limit. */
  readonly maxMemory: number;
  /** Used memory that does not count against that limit. */
  readonly notCounted: number;
  /** `noeviction`, `allkeys-lru` … */
  readonly policy: string;
  /** How many keys the server has thrown out since it was started. */
  readonly evictedKeys: number;
  readonly systemMemory: number;
  /** Databases that hold keys, ascending. */
  readonly databases: readonly number[];
}

/** Throws `InstanceRefused` where this engine has no business: clusters, sentinels, very old servers. */
export async function readServer(session: Session): Promise<ServerFacts> {
  const info = await readInfo(session);
  if (info.get('redis_mode') === 'sentinel') {
    throw new ForestayError('InstanceRefused', 'This is a Sentinel, which holds no data.', {
      hint: 'Register the master that the Sentinel watches.',
    });
  }
  if (info.get('cluster_enabled') === '1' || info.get('redis_mode') === 'cluster') {
    throw new ForestayError(
      'InstanceRefused',
      'The server is a node of a cluster, which this engine does not back up.',
      {
        hint: 'A node holds only a part of the data, and nodes are never at the same moment. Use the means of the cluster, or register a server without cluster mode.',
      },
    );
  }
  const text = (name: string) => info.get(name) ?? '';
  const number = (name: string) => Number(info.get(name) ?? 0);
  const [major = 0, minor = 0] = text('redis_version').split('.').map(Number);
  const product = info.has('valkey_version') ? 'valkey' : 'redis';
  if (major < oldestMajor) {
    throw new ForestayError(
      'InstanceRefused',
      `The server has version ${text('redis_version') || 'unknown'}.`,
      {
        hint: `This engine works with Redis ${oldestMajor} and newer.`,
      },
    );
  }
  return {
    product,
    version: product === 'valkey' ? text('valkey_version') : text('redis_version'),
    redisVersion: [major, minor],
    role: text('role'),
    usedMemory: number('used_memory'),
    maxMemory: number('maxmemory'),
    notCounted: number('mem_not_counted_for_evict'),
    policy: text('maxmemory_policy'),
    evictedKeys: number('evicted_keys'),
    systemMemory: number('total_system_memory'),
    databases: databasesIn(info),
  };
}

/** Databases that hold keys, ascending. */
export async function usedDatabases(session: Session): Promise<number[]> {
  return databasesIn(parseInfo(await session.text('INFO', 'keyspace')));
}

/** RESTORE with ABSTTL came with 5. */
const oldestMajor = 5;

async function readInfo(session: Session): Promise<Map<string, string>> {
  return parseInfo(await session.text('INFO'));
}

export function parseInfo(text: string): Map<string, string> {
  const lines = text.split('\r\n').filter((line) => line.includes(':') && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}

function databasesIn(info: ReadonlyMap<string, string>): number[] {
  return [...info.keys()]
    .flatMap((name) => /^db(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/**
 * How new a serialized value this server takes. From 7.0 on it says so itself: what FUNCTION DUMP answers ends with the
 * version, two bytes, and a checksum of eight.
 */
export async function rdbVersionOf(
  session: Session,
  { redisVersion: [major] }: ServerFacts,
): Promise<number> {
  if (major < 7) return 9;
  const dump = await session.command('FUNCTION', 'DUMP');
  if (!Buffer.isBuffer(dump) || dump.length < 10) throw new Error('FUNCTION DUMP answered no payload');
  return dump.readUInt16LE(dump.length - 10);
}
