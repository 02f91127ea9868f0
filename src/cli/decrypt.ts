import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Command, Option } from 'commander';
import type { Manifest } from '../core/manifest.ts';
import { keyFileOption } from './arguments.ts';
import { askSecret } from './ask.ts';
import { bytes, note, print } from './output.ts';
import { nameOfPlain, refuseExisting, refuseTerminal, saveFile, writeToStdout } from './save-file.ts';
import { globalOptions, type Surroundings } from './surroundings.ts';

interface DecryptOptions {
  readonly output?: string;
  readonly manifest?: string;
  readonly form?: 'a9s' | 'stored';
  readonly compression?: 'zstd' | 'none';
  readonly keyFile?: string;
  readonly force?: true;
}

/** `forestay decrypt`: opens a backup that was downloaded, in either form, without any site. */
export function decryptCommand(program: Command, surroundings: Surroundings): void {
  program
    .command('decrypt')
    .description('Open a downloaded backup, of either form, without any site. Asks for its key.')
    .argument('<file>', 'the download, or the data object of a store')
    .option('-o, --output <file>', 'where to (default: a name made from that of the file); - for stdout')
    .option(
      '--manifest <file>',
      'manifest.json of the backup: the stored form is then verified to the last byte',
    )
    .addOption(
      new Option('--form <form>', 'what the file is (default: found out)').choices(['a9s', 'stored']),
    )
    .addOption(
      new Option('--compression <kind>', 'of the stored form, without manifest').choices(['zstd', 'none']),
    )
    .option(...keyFileOption)
    .option('--force', 'replace a file that is there')
    .action(async (file: string, options: DecryptOptions, command: Command) => {
      const { signal } = surroundings;
      const { json } = globalOptions(command);
      const manifest = options.form === 'a9s' ? undefined : await findManifest(file, options.manifest);
      const output = options.output ?? outputName(file, manifest);
      if (output === '-') refuseTerminal();
      else await refuseExisting(output, options.force === true);
      const passphrase = await askSecret({
        what: 'Encryption key',
        confirm: false,
        file: options.keyFile,
        signal,
      });

      // Loaded here, because the streams and schemas behind it take longer to load than most commands to run.
      const { openFile } = await import('./open-file.ts');
      const opened = await openFile(file, { ...options, manifest, passphrase, signal });
      if (opened.form === 'stored' && !opened.verified && !json) {
        note('Without --manifest nothing tells whether the file is, to the byte, what was stored.');
      }
      if (output === '-') return writeToStdout(opened.plain, signal);
      const { size } = await saveFile(output, opened.plain, { force: options.force === true, signal });
      print(
        json,
        { file: output, size, form: opened.form, verified: opened.verified },
        () => `${output} (${bytes(size)})`,
      );
    });
}

/** As named; or, for a data object within a store's folder, the manifest that lies beside it. */
async function findManifest(file: string, named: string | undefined): Promise<Manifest | undefined> {
  const isObject = /^data(-\d+)?$/.test(path.basename(file));
  if (named === undefined && !isObject) return undefined;
  const content = await readFile(named ?? path.join(path.dirname(file), 'manifest.json')).catch(
    (error: unknown) => {
      if (named === undefined && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    },
  );
  if (!content) return undefined;
  const { parseManifest } = await import('../core/manifest.ts');
  return parseManifest(content);
}

function outputName(file: string, manifest: Manifest | undefined): string {
  // The manifest is not believed yet: what it says must be a name and nothing else.
  const said = manifest ? `${manifest.backup_id}${manifest.suffix}` : '';
  if (/^\w[\w.-]*$/.test(said)) return said;
  return nameOfPlain(file);
}
