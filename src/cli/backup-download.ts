import type { Command } from 'commander';
import type { BackupBody } from '../http/v1/backups.ts';
import { instanceArgument, positiveInteger } from './arguments.ts';
import { bodyOf, broken, type Download } from './download.ts';
import { instancePath } from './find-instance.ts';
import { bytes, print } from './output.ts';
import { resumeDownload } from './resume-download.ts';
import { nameOfPlain, refuseExisting, refuseTerminal, saveFile, writeToStdout } from './save-file.ts';
import { globalOptions, openClient, type Surroundings } from './surroundings.ts';

interface DownloadOptions {
  readonly output?: string;
  readonly stored?: true;
  readonly force?: true;
}

/** `forestay backup download`: a backup, encrypted, as a file. */
export function downloadCommand(group: Command, surroundings: Surroundings): void {
  group
    .command('download')
    .description('Fetch a backup, encrypted, into a file that is either whole or not there.')
    .argument(...instanceArgument)
    .argument('<id>', 'number of the backup', positiveInteger)
    .option('-o, --output <file>', 'where to (default: a name made from the backup id); - for stdout')
    .option('--stored', 'as it lies in the store: can be resumed, and is verified against its SHA-256')
    .option('--force', 'replace a file that is there')
    .action(async (name: string, id: number, options: DownloadOptions, command: Command) => {
      const client = await openClient(command, surroundings);
      const pathOfBackup = `${await instancePath(client, name)}/backups/${id}`;
      const backup = await client.get<BackupBody>(pathOfBackup);
      const url = `${pathOfBackup}/download${options.stored ? '?format=stored' : ''}`;
      const download = { client, url, backup, signal: surroundings.signal };
      if (options.output === '-') return toStdout(download);
      const head = await client.head(url);
      const file = options.output ?? nameOf(head) ?? `${backup.backup_id}.enc`;
      const force = options.force === true;
      await refuseExisting(file, force);
      const saved = options.stored
        ? await resumeDownload(download, file, { force, quiet: globalOptions(command).json === true })
        : await saveA9s(download, file, force);
      const openWith = openingCommand(file, head, options.stored ? storedCommand : a9sCommand);
      print(globalOptions(command).json, { file, size: saved.size, open_with: openWith }, () =>
        [
          `${file} (${bytes(saved.size)})`,
          `Open it with: forestay decrypt ${quoted(file)}`,
          `or with:      ${openWith}`,
        ].join('\n'),
      );
    });
}

async function saveA9s(
  { client, url, signal }: Download,
  file: string,
  force: boolean,
): Promise<{ size: number }> {
  const source = bodyOf(await client.open(url, {}));
  return saveFile(file, source, { force, signal }).catch((error: unknown) => {
    throw broken(error, signal, 'Nothing was kept. Downloads with --stored can be resumed.');
  });
}

async function toStdout({ client, url, signal }: Download): Promise<void> {
  refuseTerminal();
  const source = bodyOf(await client.open(url, {}));
  await writeToStdout(source, signal).catch((error: unknown) => {
    throw broken(error, signal, 'What came out on stdout is not whole: do not use it.');
  });
}

/** The name that the site gives the file, where it is nothing but a name. */
function nameOf(head: Headers | undefined): string | undefined {
  const name = /filename="([^"]*)"/.exec(head?.get('content-disposition') ?? '')?.[1];
  return name && /^\w[\w.-]*$/.test(name) ? name : undefined;
}

const a9sCommand = 'openssl enc -aes256 -md md5 -d | gunzip';
const storedCommand = 'openssl enc -d -aes-256-ctr -pbkdf2 -iter 600000 -md sha256 | zstd -d';

/**
 * What opens the file without Forestay, as the site says. The key is asked for by openssl: where it stood in the command,
 * everybody on the machine could read it.
 */
function openingCommand(file: string, head: Headers | undefined, usual: string): string {
  const said = (head?.get('x-forestay-open-with') ?? '').replace(" -pass 'pass:KEY'", '');
  const command = /^openssl enc [\w -]+( \| (gunzip|zstd -d))?$/.test(said) ? said : usual;
  const [decrypt, unpack] = command.split(' | ');
  const output = quoted(nameOfPlain(file));
  return `${decrypt} -in ${quoted(file)}${unpack ? ` | ${unpack} > ${output}` : ` -out ${output}`}`;
}

function quoted(text: string): string {
  return /^[\w./:@-]+$/.test(text) && !text.startsWith('-') ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
