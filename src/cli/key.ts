import type { Command } from 'commander';
import type { ChangeBackupConfigRequest } from '../http/v1/backup-config.ts';
import { instanceArgument, keyFileOption } from './arguments.ts';
import { askSecret } from './ask.ts';
import { instancePath } from './find-instance.ts';
import { print } from './output.ts';
import { globalOptions, openClient, type Surroundings } from './surroundings.ts';

/** `forestay key …`: the passphrase that backups are encrypted with. It is never an argument. */
export function keyCommand(program: Command, surroundings: Surroundings): void {
  const group = program.command('key').description('The key that backups of an instance are encrypted with.');
  group
    .command('set')
    .description(
      'Set the key of backups from now on; older ones keep theirs. Asks for it twice, without showing it.',
    )
    .argument(...instanceArgument)
    .option(...keyFileOption)
    .action(async (name: string, options: { keyFile?: string }, command: Command) => {
      const client = await openClient(command, surroundings);
      const path = await instancePath(client, name);
      const request: ChangeBackupConfigRequest = {
        encryption_key: await askSecret({
          what: 'New encryption key',
          confirm: true,
          file: options.keyFile,
          signal: surroundings.signal,
        }),
      };
      const answer = await client.patch(`${path}/backup-config`, request);
      print(
        globalOptions(command).json,
        answer,
        () => 'The key is set. Keep it in a safe place: it is never shown, and downloads open with it alone.',
      );
    });
}
