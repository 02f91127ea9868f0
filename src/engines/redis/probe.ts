import type { Probe } from '../engine.ts';
import { sessionName } from './back-up.ts';
import type { Target } from './connection.ts';
import { translating } from './errors.ts';
import { sortDatabases } from './marker.ts';
import { mib } from './plan.ts';
import { isForbidden, missingRights } from './rights.ts';
import { readServer, type ServerFacts } from './server.ts';
import { type Session, withSession } from './session.ts';
import { countDatabases } from './stage.ts';

/** Connects, and says what will not work with this connection. */
export async function probe(target: Target, signal: AbortSignal): Promise<Probe> {
  return withSession(target, { signal, name: sessionName }, (session) =>
    translating('The server does not answer as it should', async () => {
      const server = await readServer(session);
      const warnings = [
        ...(await copyWarnings(session, server)),
        ...(await restoreWarnings(session, server)),
      ];
      if (target.tls === 'no-verify')
        warnings.push('Whoever answers at this address is believed to be the server: tls is no-verify.');
      return { engineVersion: server.version, warnings };
    }),
  );
}

/** From 7.0 on, PSYNC with something that is no number is refused before anything else happens. */
async function copyWarnings(session: Session, { redisVersion: [major] }: ServerFacts): Promise<string[]> {
  const missing: string[] = [];
  if (await isForbidden(session, ['REPLCONF', 'capa', 'eof'])) missing.push('REPLCONF');
  if (major >= 7 && (await isForbidden(session, ['PSYNC', '?', 'x']))) missing.push('PSYNC');
  if (missing.length === 0) return [];
  return [`The user may not call ${missing.join(', ')}, so backups will fail. Give it +psync +replconf.`];
}

async function restoreWarnings(session: Session, server: ServerFacts): Promise<string[]> {
  if (server.role !== 'master')
    return ['The server is a replica: it can be backed up, but not restored into.'];
  const warnings: string[] = [];
  const missing = await missingRights(session, server);
  if (missing.length > 0) {
    warnings.push(
      `The user may not call ${missing.join(', ')} (for any key), so restores will fail. docs/engines/redis.md lists the rights.`,
    );
  }
  const { own, marked } = await sortDatabases(session);
  const free = (await countDatabases(session)) - own.length - marked.length;
  if (free < Math.max(1, own.length)) {
    warnings.push(
      `Of the server's databases ${free} are free, and a restore needs as many as the backup has: restores will fail. Raise databases in its configuration.`,
    );
  }
  const { maxMemory, usedMemory, notCounted, policy } = server;
  if (maxMemory > 0 && 2 * (usedMemory - notCounted) > maxMemory) {
    warnings.push(
      `A restore needs memory for the new data beside the old; with maxmemory of ${mib(maxMemory)}, of which ${mib(usedMemory)} are used, one of the same size will fail.`,
    );
  }
  if (policy.startsWith('allkeys'))
    warnings.push(
      `With maxmemory-policy ${policy} restores cannot be undone: the replaced data is not kept.`,
    );
  return warnings;
}
