import { ForestayError } from '../../core/errors.ts';
import { markerKey } from './marker.ts';
import { type Argument, ReplyError } from './resp.ts';
import type { ServerFacts } from './server.ts';
import type { Session } from './session.ts';

/** What a restore calls and the user may not, or the server does not have: administrators rename commands, too. */
export async function missingRights(session: Session, server: ServerFacts): Promise<string[]> {
  return forbiddenOf(session, [...neededBy(server), ...neededForLargeValues]);
}

/**
 * Throws `InstanceRefused` where the user lacks a right that every restore needs: without that of emptying a database, say, what
 * was staged or replaced would stay for ever.
 */
export async function assertRights(session: Session, server: ServerFacts): Promise<void> {
  const missing = await forbiddenOf(session, neededBy(server));
  if (missing.length === 0) return;
  throw new ForestayError(
    'InstanceRefused',
    `The user may not call ${missing.join(', ')} (for any key), or the server does not have it.`,
    { hint: 'docs/engines/redis.md lists the rights that a restore needs. Nothing was changed.' },
  );
}

/** Within a transaction that is thrown away nothing of it happens, but rights are checked. */
const needed: readonly Argument[][] = [
  ['SELECT', 0],
  ['SET', markerKey, ''],
  ['DEL', markerKey],
  ['DBSIZE'],
  ['SWAPDB', 0, 0],
  ['FLUSHDB', 'ASYNC'],
  ['EVAL', 'return 0', 0],
  ['RESTORE', 'any key', 0, ''],
  ['INFO', 'memory'],
  ['CLIENT', 'LIST'],
  ['CLIENT', 'KILL', 'ID', 1],
];
const neededSince7: readonly Argument[][] = [
  ['FUNCTION', 'DUMP'],
  ['FUNCTION', 'FLUSH'],
  ['FUNCTION', 'RESTORE', ''],
];
const neededForLargeValues: readonly Argument[][] = [
  ['RPUSH', 'any key', ''],
  ['SADD', 'any key', ''],
  ['ZADD', 'any key', 0, ''],
  ['HSET', 'any key', '', ''],
  ['PEXPIREAT', 'any key', 0],
  ['XADD', 'any key', '*', '', ''],
  ['XSETID', 'any key', '0-1'],
  ['XGROUP', 'CREATE', 'any key', '', 0],
  ['XCLAIM', 'any key', '', '', 0, '0-1'],
];

function neededBy({ redisVersion: [major] }: ServerFacts): readonly Argument[][] {
  return major >= 7 ? [...needed, ...neededSince7] : needed;
}

async function forbiddenOf(session: Session, calls: readonly Argument[][]): Promise<string[]> {
  for (const name of ['MULTI', 'WATCH', 'UNWATCH', 'EXEC', 'DISCARD']) {
    const args = name === 'WATCH' ? [name, markerKey] : [name];
    // EXEC and DISCARD without MULTI are refused, but not for lack of a right.
    if (name !== 'MULTI' && (await isForbidden(session, args))) return [name];
  }
  if (await isForbidden(session, ['MULTI'])) return ['MULTI'];
  const missing: string[] = [];
  for (const args of calls) {
    if (await isForbidden(session, args))
      missing.push(args.slice(0, subcommands.has(String(args[0])) ? 2 : 1).join(' '));
  }
  await session.command('DISCARD');
  return missing;
}

const subcommands = new Set(['CLIENT', 'FUNCTION', 'XGROUP']);

/** Also for a command that is not there. */
export async function isForbidden(session: Session, args: readonly Argument[]): Promise<boolean> {
  try {
    await session.command(...args);
    return false;
  } catch (error) {
    if (!(error instanceof ReplyError)) throw error;
    return error.message.startsWith('NOPERM') || /unknown command/i.test(error.message);
  }
}
