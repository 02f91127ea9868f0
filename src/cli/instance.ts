import type { Command } from 'commander';
import type { BackupConfigBody } from '../http/v1/backup-config.ts';
import type {
  ChangeInstanceRequest,
  InstanceBody,
  RegisteredInstanceBody,
  RegisterInstanceRequest,
} from '../http/v1/instances.ts';
import { confirmed } from './ask.ts';
import { askConnection } from './ask-connection.ts';
import { usageError } from './errors.ts';
import { instancePath } from './find-instance.ts';
import { details, moment, print, table } from './output.ts';
import { globalOptions, openClient, type Surroundings } from './surroundings.ts';

/** `forestay instance …`: the databases in care. */
export function instanceCommand(program: Command, surroundings: Surroundings): void {
  const group = program.command('instance').description('The databases that backups are made of.');
  addCommand(group, surroundings);
  changeCommand(group, surroundings);

  group
    .command('list')
    .description('Instances you may see.')
    .action(async (_options, command: Command) => {
      const client = await openClient(command, surroundings);
      const instances = await client.get<InstanceBody[]>('/v1/instances');
      const rows = instances.map((one) => [one.name, one.instance_id, one.engine, one.pool, one.state]);
      print(globalOptions(command).json, instances, () =>
        table(
          ['NAME', 'INSTANCE ID', 'ENGINE', 'POOL', 'STATE'],
          rows,
          'No instances. Add one with: forestay instance add',
        ),
      );
    });

  group
    .command('show')
    .description('One instance and how it is backed up.')
    .argument('<instance>', 'GUID or name')
    .action(async (name: string, _options, command: Command) => {
      const client = await openClient(command, surroundings);
      const path = await instancePath(client, name);
      const instance = await client.get<InstanceBody>(path);
      const { json } = globalOptions(command);
      const config = json ? undefined : await client.get<BackupConfigBody>(`${path}/backup-config`);
      print(json, instance, () => describe(instance, config));
    });

  group
    .command('remove')
    .description('Take an instance out of care; its backups and keys stay.')
    .argument('<instance>', 'GUID or name')
    .option('--yes', 'do not ask')
    .action(async (name: string, options: { yes?: true }, command: Command) => {
      const client = await openClient(command, surroundings);
      const path = await instancePath(client, name);
      await confirmed(`Take ${name} out of care? No backups will be made of it any more.`, {
        ...options,
        signal: surroundings.signal,
      });
      const answer = await client.delete(path);
      print(
        globalOptions(command).json,
        answer,
        () => `${name} is no longer in care. Its backups and keys stay.`,
      );
    });
}

interface AddOptions {
  readonly engine: string;
  readonly name: string;
  readonly instanceId?: string;
  readonly pool?: string;
  readonly connectionFile?: string;
}

function addCommand(group: Command, surroundings: Surroundings): void {
  group
    .command('add')
    .description(
      'Take an instance into care. Its connection comes from a file, from stdin (JSON), or is asked for.',
    )
    .requiredOption('--engine <engine>', 'what kind of data service it is: postgresql, …')
    .requiredOption('--name <name>', 'what people call it')
    .option('--connection-file <file>', 'JSON file with the connection; - for stdin')
    .option('--instance-id <guid>', 'its GUID at the platform (default: a new one)')
    .option('--pool <pool>', 'the workers that can reach it')
    .action(async (options: AddOptions, command: Command) => {
      const client = await openClient(command, surroundings);
      const connection = await askConnection(client, options.engine, {
        file: options.connectionFile,
        signal: surroundings.signal,
      });
      const request: RegisterInstanceRequest = {
        name: options.name,
        engine: options.engine,
        connection,
        ...(options.instanceId !== undefined && { instance_id: options.instanceId }),
        ...(options.pool !== undefined && { pool: options.pool }),
      };
      const instance = await client.post<RegisteredInstanceBody>('/v1/instances', request);
      print(globalOptions(command).json, instance, () => {
        const warnings = instance.warnings.map((warning) => `\nwarning: ${warning}`).join('');
        return `${describe(instance, undefined)}${warnings}\nBack it up with: forestay backup create ${instance.instance_id}`;
      });
    });
}

interface ChangeOptions {
  readonly name?: string;
  readonly pool?: string;
  readonly connectionFile?: string;
  readonly askConnection?: true;
}

function changeCommand(group: Command, surroundings: Surroundings): void {
  group
    .command('change')
    .description('Change the name, the pool or the connection of an instance. Its backups and keys stay.')
    .argument('<instance>', 'GUID or name')
    .option('--name <name>', 'what people call it')
    .option('--pool <pool>', 'the workers that can reach it')
    .option('--connection-file <file>', 'JSON file with the new connection; - for stdin')
    .option('--ask-connection', 'ask for the new connection')
    .action(async (name: string, options: ChangeOptions, command: Command) => {
      const client = await openClient(command, surroundings);
      const path = await instancePath(client, name);
      const { connectionFile: file, askConnection: ask } = options;
      const { engine } = await client.get<InstanceBody>(path);
      const connection =
        file === undefined && !ask
          ? undefined
          : await askConnection(client, engine, { file, signal: surroundings.signal });
      const request: ChangeInstanceRequest = {
        ...(options.name !== undefined && { name: options.name }),
        ...(options.pool !== undefined && { pool: options.pool }),
        ...(connection && { connection }),
      };
      if (Object.keys(request).length === 0)
        throw usageError('Nothing is to be changed.', 'Name at least one of the options.');
      const instance = await client.patch<InstanceBody>(path, request);
      print(globalOptions(command).json, instance, () => describe(instance, undefined));
    });
}

function describe(instance: InstanceBody, config: BackupConfigBody | undefined): string {
  return details({
    'instance id': instance.instance_id,
    name: instance.name,
    state: instance.state,
    engine: instance.engine,
    pool: instance.pool,
    created: moment(instance.created_at),
    changed: moment(instance.updated_at),
    ...(config && {
      'backup guid': config.backup_guid,
      'automatic backups': config.exclude_from_auto_backup ? 'no' : 'yes',
      'backups kept': `at least ${config.min_backup_count}, and all of the last ${config.retention_time} days`,
      key: `version ${config.key_version}, set by ${config.key_set_by === 'user' ? 'a user' : 'the system'}`,
      'shortest key': `${config.min_encryption_key_length} characters`,
    }),
  });
}
