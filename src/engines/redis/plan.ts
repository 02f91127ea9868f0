import { ForestayError } from '../../core/errors.ts';
import type { RestoreTicket } from '../engine.ts';
import { type Details, parseDetails } from './details.ts';
import { assertRights } from './rights.ts';
import { rdbVersionOf, readServer, type ServerFacts } from './server.ts';
import type { Session } from './session.ts';

/** What a restore must know of the server before it begins. */
export interface Plan {
  readonly server: ServerFacts;
  readonly details: Details;
  readonly notKept: readonly string[];
}

/** Throws `IncompatibleBackup`, `InstanceRefused` or `InstanceFull` where a restore cannot be. */
export async function planRestore(session: Session, source: RestoreTicket['source']): Promise<Plan> {
  const details = parseDetails(source.details);
  const server = await readServer(session);
  if (server.role !== 'master') {
    throw new ForestayError(
      'InstanceRefused',
      'The server is a replica of another one and takes no data but from it.',
      {
        hint: 'Register its master. A replica can only be backed up.',
      },
    );
  }
  await assertRights(session, server);
  const newest = await rdbVersionOf(session, server);
  if (details.rdbVersion > newest) {
    throw new ForestayError(
      'IncompatibleBackup',
      `The backup is of ${details.product} ${source.engineVersion} (RDB version ${details.rdbVersion}), the server of ${server.version} takes RDB versions up to ${newest}.`,
      { hint: 'Restore into a server of the same or a newer version.' },
    );
  }
  const notKept = details.moduleData.map(
    (module) => `Data of the module ${module} that belongs to no key (indexes, for example): make it again.`,
  );
  return { server, details, notKept };
}

/**
 * Throws `InstanceFull` unless the restored data has room beside the present one. `usedMemory` of the backup is what the same
 * data took where it came from, with everything else that the server needed.
 */
export function assertRoom({ server, details }: Plan): void {
  const present = server.usedMemory - server.notCounted;
  const limit = server.maxMemory > 0 ? server.maxMemory : server.systemMemory;
  if (limit === 0 || present + details.usedMemory <= limit) return;
  const what = server.maxMemory > 0 ? 'maxmemory' : 'the memory of the machine';
  throw new ForestayError(
    'InstanceFull',
    `The restored data needs up to ${mib(details.usedMemory)} beside the ${mib(present)} that are used, and ${what} is ${mib(limit)}.`,
    {
      hint: `A restore builds the new data beside the old. For its time, ${server.maxMemory > 0 ? 'raise maxmemory' : 'give the server more memory'}. Nothing was changed.`,
    },
  );
}

export function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
