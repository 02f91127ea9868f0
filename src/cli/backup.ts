import type { Command } from 'commander';
import type { BackupBody, BackupRequestedBody } from '../http/v1/backups.ts';
import { instanceArgument, positiveInteger } from './arguments.ts';
import { confirmed } from './ask.ts';
import { assertDone, awaitTask } from './await-task.ts';
import { downloadCommand } from './backup-download.ts';
import { instancePath } from './find-instance.ts';
import { bytes, details, moment, print, table } from './output.ts';
import { globalOptions, openClient, type Surroundings } from './surroundings.ts';
import { errorLines, taskState } from './task-text.ts';

/** `forestay backup …`: making, seeing, fetching and removing backups. */
export function backupCommand(program: Command, surroundings: Surroundings): void {
  const group = program.command('backup').description('Backups of an instance.');
  createCommand(group, surroundings);

  group
    .command('list')
    .description('Backups of an instance, newest first.')
    .argument(...instanceArgument)
    .action(async (name: string, _options, command: Command) => {
      const client = await openClient(command, surroundings);
      const backups = await client.get<BackupBody[]>(`${await instancePath(client, name)}/backups`);
      const rows = backups.map((one) => [
        String(one.id),
        taskState(one),
        moment(one.triggered_at),
        one.status === 'done' ? bytes(one.size) : '-',
        one.downloadable ? 'yes' : 'no',
        one.backup_id,
      ]);
      print(globalOptions(command).json, backups, () =>
        table(['ID', 'STATUS', 'TRIGGERED', 'SIZE', 'DOWNLOADABLE', 'BACKUP ID'], rows, 'No backups.'),
      );
    });

  group
    .command('show')
    .description('One backup: status, progress, what went wrong.')
    .argument(...instanceArgument)
    .argument('<id>', 'number of the backup', positiveInteger)
    .action(async (name: string, id: number, _options, command: Command) => {
      const client = await openClient(command, surroundings);
      const backup = await client.get<BackupBody>(`${await instancePath(client, name)}/backups/${id}`);
      print(globalOptions(command).json, backup, () => describe(backup));
    });

  downloadCommand(group, surroundings);

  group
    .command('delete')
    .description('Remove a backup from the stores, for good.')
    .argument(...instanceArgument)
    .argument('<id>', 'number of the backup', positiveInteger)
    .option('--yes', 'do not ask')
    .action(async (name: string, id: number, options: { yes?: true }, command: Command) => {
      const client = await openClient(command, surroundings);
      const path = await instancePath(client, name);
      await confirmed(`Remove backup ${id} of ${name} for good?`, {
        ...options,
        signal: surroundings.signal,
      });
      const answer = await client.delete(`${path}/backups/${id}`);
      print(globalOptions(command).json, answer, () => `Backup ${id} is removed.`);
    });

  group
    .command('cancel')
    .description('Stop a backup that is queued or running.')
    .argument(...instanceArgument)
    .argument('<id>', 'number of the backup', positiveInteger)
    .action(async (name: string, id: number, _options, command: Command) => {
      const client = await openClient(command, surroundings);
      const answer = await client.post(`${await instancePath(client, name)}/backups/${id}/cancel`);
      print(globalOptions(command).json, answer, () => `Backup ${id} is being canceled.`);
    });
}

function createCommand(group: Command, surroundings: Surroundings): void {
  group
    .command('create')
    .description('Make a backup now.')
    .argument(...instanceArgument)
    .option('--wait', 'wait until it has finished, showing progress')
    .action(async (name: string, options: { wait?: true }, command: Command) => {
      const { json } = globalOptions(command);
      const client = await openClient(command, surroundings);
      const path = `${await instancePath(client, name)}/backups`;
      const requested = await client.post<BackupRequestedBody>(path);
      const what = `Backup ${requested.id}`;
      const showCommand = `forestay backup show ${name} ${requested.id}`;
      if (!options.wait) {
        print(json, requested, () => `${what} is queued. See how it is going with: ${showCommand}`);
        return;
      }
      const backup = await awaitTask<BackupBody>(client, `${path}/${requested.id}`, {
        what,
        showCommand,
        quiet: json === true,
        signal: surroundings.signal,
      });
      if (json || backup.status === 'done') print(json, backup, () => describe(backup));
      assertDone(backup, what);
    });
}

function describe(backup: BackupBody): string {
  const done = backup.status === 'done';
  return details({
    id: String(backup.id),
    'backup id': backup.backup_id,
    status: taskState(backup),
    triggered: moment(backup.triggered_at),
    started: moment(backup.started_at),
    'status changed': moment(backup.finished_at),
    size: done ? `${bytes(backup.size)} (${backup.size} bytes)` : undefined,
    sha256: backup.sha256 ?? undefined,
    'key version': String(backup.key_version),
    downloadable: backup.downloadable ? 'yes' : 'no',
    'engine version': backup.engine_version ?? undefined,
    copies: backup.copies.map(({ store, status }) => `${status} in ${store}`).join(', ') || undefined,
    ...errorLines(backup),
  });
}
