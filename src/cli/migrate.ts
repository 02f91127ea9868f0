import type { Command } from 'commander';
import { readEnvironment } from '../config/environment.ts';
import { readSecrets } from '../config/secrets.ts';
import { readConfig } from '../config.ts';
import { print } from './output.ts';
import { globalOptions, type Surroundings } from './surroundings.ts';

/** `forestay migrate`: brings the database up to this version, which `serve` does by itself. */
export function migrateCommand(program: Command, surroundings: Surroundings): void {
  program
    .command('migrate')
    .description('Bring the database of the site up to this version; serve and worker do it by themselves.')
    .action(async (_options, command: Command) => {
      const env = await readEnvironment();
      const config = readConfig(env);
      const { migrateSite } = await surroundings.openSite();
      const applied = await migrateSite(config, await readSecrets(env, config.dataDir));
      print(globalOptions(command).json, { applied }, () =>
        applied.length === 0
          ? 'The database is up to date.'
          : ['Applied:', ...applied.map((one) => `  ${one}`)].join('\n'),
      );
    });
}
