import type { Command } from 'commander';
import type { RestoreRequestedBody } from '../http/v1/backups.ts';
import type { RestorePlanBody } from '../http/v1/restore-plan.ts';
import type { RestoreBody } from '../http/v1/restores.ts';
import { instanceArgument, positiveInteger } from './arguments.ts';
import { confirmed } from './ask.ts';
import { instancePath } from './find-instance.ts';
import { followRestore } from './follow-restore.ts';
import { moment, print, table } from './output.ts';
import { describePlan } from './restore-plan-text.ts';
import { describeRestore } from './restore-text.ts';
import { globalOptions, openClient, type Surroundings } from './surroundings.ts';
import { taskState } from './task-text.ts';

/** `forestay restore …`: putting backups of an instance back into it. */
export function restoreCommand(program: Command, surroundings: Surroundings): void {
  const group = program.command('restore').description('Restores of an instance.');
  startCommand(group, surroundings);

  group
    .command('list')
    .description('Restores of an instance, newest first.')
    .argument(...instanceArgument)
    .action(async (name: string, _options, command: Command) => {
      const client = await openClient(command, surroundings);
      const restores = await client.get<RestoreBody[]>(`${await instancePath(client, name)}/restores`);
      const rows = restores.map((one) => [
        String(one.id),
        one.undone_at ? 'undone' : taskState(one),
        moment(one.triggered_at),
        one.backup_id === null ? 'of elsewhere' : String(one.backup_id),
        moment(one.metadata.restored_from),
        moment(one.undo_until),
      ]);
      print(globalOptions(command).json, restores, () =>
        table(['ID', 'STATUS', 'TRIGGERED', 'BACKUP', 'DATA OF', 'UNDO UNTIL'], rows, 'No restores.'),
      );
    });

  group
    .command('show')
    .description('One restore: status, progress, what was not kept, until when it can be undone.')
    .argument(...instanceArgument)
    .argument('<id>', 'number of the restore', positiveInteger)
    .action(async (name: string, id: number, _options, command: Command) => {
      const client = await openClient(command, surroundings);
      const restore = await client.get<RestoreBody>(`${await instancePath(client, name)}/restores/${id}`);
      print(globalOptions(command).json, restore, () => describeRestore(restore));
    });

  group
    .command('undo')
    .description('Put back the data that a restore replaced, and discard the restored.')
    .argument(...instanceArgument)
    .argument('<id>', 'number of the restore', positiveInteger)
    .option('--yes', 'do not ask')
    .action(async (name: string, id: number, options: { yes?: true }, command: Command) => {
      const client = await openClient(command, surroundings);
      const path = `${await instancePath(client, name)}/restores/${id}`;
      await confirmed(`Undo restore ${id}? What was written to ${name} since then is lost.`, {
        ...options,
        signal: surroundings.signal,
      });
      const answer = await client.post(`${path}/undo`);
      print(
        globalOptions(command).json,
        answer,
        () => `Restore ${id} is undone: ${name} has the data of before.`,
      );
    });

  group
    .command('cancel')
    .description('Stop a restore that is queued or running; the instance stays as it was.')
    .argument(...instanceArgument)
    .argument('<id>', 'number of the restore', positiveInteger)
    .action(async (name: string, id: number, _options, command: Command) => {
      const client = await openClient(command, surroundings);
      const answer = await client.post(`${await instancePath(client, name)}/restores/${id}/cancel`);
      print(globalOptions(command).json, answer, () => `Restore ${id} is being canceled.`);
    });
}

interface StartOptions {
  readonly wait?: true;
  readonly yes?: true;
  readonly dryRun?: true;
}

function startCommand(group: Command, surroundings: Surroundings): void {
  group
    .command('start')
    .description('Replace the data of an instance by that of one of its backups.')
    .argument(...instanceArgument)
    .argument('<backup-id>', 'number of the backup', positiveInteger)
    .option('--wait', 'wait until it has finished, showing progress')
    .option('--yes', 'do not ask')
    .option('--dry-run', 'only show what would be added, changed and removed, where the engine can tell')
    .action(async (name: string, id: number, options: StartOptions, command: Command) => {
      const client = await openClient(command, surroundings);
      const path = await instancePath(client, name);
      if (options.dryRun) {
        const plan = await client.get<RestorePlanBody>(`${path}/backups/${id}/restore-plan`);
        print(globalOptions(command).json, plan, () => describePlan(plan));
        return;
      }
      await confirmed(`Replace the data of ${name} by that of backup ${id}?`, {
        ...options,
        signal: surroundings.signal,
      });
      const requested = await client.post<RestoreRequestedBody>(`${path}/backups/${id}/restore`);
      await followRestore(client, {
        path,
        instanceName: name,
        requested,
        wait: options.wait === true,
        json: globalOptions(command).json,
        signal: surroundings.signal,
      });
    });
}
