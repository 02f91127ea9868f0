import { ForestayError } from '../../core/errors.ts';
import { sessionName } from './back-up.ts';
import type { Target } from './connection.ts';
import { translating } from './errors.ts';
import { emptyMarked, isOf, type Marked, markerKey, readMarker, sortDatabases } from './marker.ts';
import { type Session, withSession } from './session.ts';

/** What the sessions of a restore are called at the server. */
export function restoreSession(ticketId: string, attempt: number): string {
  return `${sessionPrefix(ticketId)}a${attempt}`;
}

/**
 * Ends all sessions of a restore, then looks at what it achieved. A process that was frozen finds its session gone: it has
 * one for everything, opened before it asked whether it still may, and never opens another.
 */
export async function settleRestore(
  target: Target,
  ticketId: string,
  signal: AbortSignal,
  attempt?: number,
): Promise<'switched' | 'clean'> {
  return withSession(target, { signal, name: sessionName }, (session) =>
    translating('An interrupted restore could not be cleaned up', async () => {
      await endSessions(
        session,
        attempt === undefined ? sessionPrefix(ticketId) : restoreSession(ticketId, attempt),
      );
      const { marked } = await sortDatabases(session);
      const own = marked.filter(({ marker }) => isOf(marker, ticketId, attempt));
      for (const each of own) {
        if (each.marker.state !== 'kept') await emptyMarked(session, each);
        else if (each.marker.pairs === undefined) await shrink(session, each, own);
      }
      return own.some(({ marker }) => marker.state === 'kept') ? 'switched' : 'clean';
    }),
  );
}

/**
 * Removes replaced data that is not to be kept. The marker stays in one of the databases: it is how one knows later that there
 * was a switch. The next restore removes it.
 */
export async function shrink(session: Session, each: Marked, siblings: readonly Marked[]): Promise<void> {
  const first = siblings.find(({ marker }) => marker.state === 'kept');
  if (first?.db !== each.db) return emptyMarked(session, each);
  await session.command('SELECT', each.db);
  await session.command('WATCH', markerKey);
  if ((await readMarker(session))?.text !== each.text) return void (await session.command('UNWATCH'));
  await session.command('MULTI');
  await session.command('FLUSHDB', 'ASYNC');
  await session.command('SET', markerKey, each.text);
  await session.command('EXEC');
}

function sessionPrefix(ticketId: string): string {
  return `forestay-${ticketId.toLowerCase()}-`;
}

/** Until there is none: one may just have been opened. */
async function endSessions(session: Session, name: string): Promise<void> {
  for (let round = 0; round < 100; round++) {
    const list = await session.text('CLIENT', 'LIST');
    const found = list.split('\n').filter((line) => {
      const own = / name=(\S*)/.exec(line)?.[1] ?? '';
      return name.endsWith('-') ? own.startsWith(name) : own === name;
    });
    if (found.length === 0) return;
    for (const line of found) {
      const [, id] = /^id=(\d+)/.exec(line) ?? [];
      if (id !== undefined) await session.command('CLIENT', 'KILL', 'ID', id);
    }
  }
  throw new ForestayError('InstanceBusy', 'Sessions of an earlier attempt of this restore do not end.', {
    hint: `End the clients named ${name} at the server, then try again.`,
  });
}
