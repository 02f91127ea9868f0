import { ForestayError } from '../../core/errors.ts';
import { joinStreams } from '../../pipeline/join-streams.ts';
import { stallWatchdog } from '../../pipeline/stall-watchdog.ts';
import type { BackupSource } from '../engine.ts';
import type { Target } from './connection.ts';
import { copyStage } from './copy-stage.ts';
import { translateError, translating } from './errors.ts';
import { sortDatabases } from './marker.ts';
import { type ReplicationStream, requestCopy } from './replication.ts';
import { readServer, type ServerFacts } from './server.ts';
import { openSession } from './session.ts';

/** What sessions that belong to no restore are called. */
export const sessionName = 'forestay';

/** The whole server at one moment, as a replica gets it. */
export async function backUp(
  target: Target,
  { stallMs }: { readonly stallMs: number },
  signal: AbortSignal,
): Promise<BackupSource> {
  const session = await openSession(target, { signal, name: sessionName, silenceMs: stallMs });
  let server: ServerFacts;
  let leaveOut: ReadonlySet<number>;
  let copy: ReplicationStream;
  try {
    [server, leaveOut] = await translating('The server cannot be backed up', async () => {
      const facts = await readServer(session);
      const { marked } = await sortDatabases(session);
      return [facts, new Set(marked.map(({ db }) => db))] as const;
    });
    copy = await requestCopy(session);
  } catch (error) {
    session.close();
    throw error;
  }
  const { product, version } = server;
  const { stage, survey } = copyStage({ product, leaveOut, onWhole: copy.finish });
  const stalled = () =>
    new ForestayError('InstanceUnreachable', `The server sent no byte for ${stallMs / 1000} s.`, {
      hint: 'The server, or the network, hangs. Check it, then try again.',
    });
  return {
    stream: joinStreams(copy.source, [stallWatchdog(stallMs, stalled), stage], {
      signal,
      translate: (error) => translateError(error, 'The backup failed'),
    }),
    tool: { name: `${product}-server`, version },
    engineVersion: version,
    mediaType: 'application/vnd.redis.rdb',
    suffix: '.rdb',
    compressed: false,
    details: survey.details,
  };
}
