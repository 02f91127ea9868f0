import type { Command } from 'commander';
import type {
  PerformedBody,
  PerformRequest,
  PreparedBody,
  PrepareRequest,
} from '../http/v1/disaster-recovery.ts';
import { instanceArgument, keyFileOption } from './arguments.ts';
import { askSecret, confirmed } from './ask.ts';
import { instancePath } from './find-instance.ts';
import { followRestore } from './follow-restore.ts';
import { print } from './output.ts';
import { globalOptions, openClient, type Surroundings } from './surroundings.ts';

/** `forestay dr …`: getting an instance's data back at another site. */
export function drCommand(program: Command, surroundings: Surroundings): void {
  const group = program
    .command('dr')
    .description('Disaster recovery: restore the backups of one instance into another.');
  const { signal } = surroundings;

  group
    .command('prepare')
    .description(
      'Where the data is: print the GUID that its backups are found under, and set a key if wanted.',
    )
    .argument(...instanceArgument)
    .option('--set-key', 'set the key that backups are made with from now on')
    .option('--key-file <file>', 'like --set-key, with the key that this file holds')
    .action(async (name: string, options: { setKey?: true; keyFile?: string }, command: Command) => {
      const client = await openClient(command, surroundings);
      const path = await instancePath(client, name);
      const wanted = options.setKey === true || options.keyFile !== undefined;
      const request: PrepareRequest = wanted
        ? {
            encryption_key: await askSecret({
              what: 'New encryption key',
              confirm: true,
              file: options.keyFile,
              signal,
            }),
          }
        : {};
      const prepared = await client.post<PreparedBody>(`${path}/disaster-recovery/prepare`, request);
      print(globalOptions(command).json, prepared, () => prepared.backup_guid);
    });

  group
    .command('perform')
    .description(
      'Where the data is wanted: replace the data of an instance by that of a backup of another one.',
    )
    .argument(...instanceArgument)
    .argument(
      '<backup-guid>',
      'what "dr prepare" printed: the newest backup; or a backup id: exactly that backup',
    )
    .option(...keyFileOption)
    .option('--wait', 'wait until it has finished, showing progress')
    .option('--yes', 'do not ask')
    .action(
      async (
        name: string,
        backupGuid: string,
        options: { keyFile?: string; wait?: true; yes?: true },
        command: Command,
      ) => {
        const client = await openClient(command, surroundings);
        const path = await instancePath(client, name);
        await confirmed(`Replace the data of ${name} by that of ${backupGuid}?`, { ...options, signal });
        const request: PerformRequest = {
          backup_guid: backupGuid,
          encryption_key: await askSecret({
            what: 'Encryption key of the backup',
            confirm: false,
            file: options.keyFile,
            signal,
          }),
        };
        const requested = await client.post<PerformedBody>(`${path}/disaster-recovery/perform`, request);
        const { json } = globalOptions(command);
        await followRestore(client, {
          path,
          instanceName: name,
          requested,
          wait: options.wait === true,
          json,
          signal,
        });
      },
    );
}
