import type { Command } from 'commander';
import { readEnvironment } from '../config/environment.ts';
import { readSecrets } from '../config/secrets.ts';
import { readConfig } from '../config.ts';
import { note, print } from './output.ts';
import { runUntilAborted } from './run-until-aborted.ts';
import { globalOptions, type Surroundings } from './surroundings.ts';

/** `forestay worker`: runs tasks only, beside a `serve` that shares its database. */
export function workerCommand(program: Command, surroundings: Surroundings): void {
  program
    .command('worker')
    .description('Run tasks only, of one pool (needs DATABASE_URL, shared with the site).')
    .option('--pool <pool>', 'whose tasks (default: the default pool)')
    .action(async (options: { pool?: string }, command: Command) => {
      const env = await readEnvironment();
      const config = readConfig(env);
      const secrets = await readSecrets(env, config.dataDir);
      const { startSite } = await surroundings.openSite();
      const running = await startSite(config, secrets, { api: false, worker: true, pool: options.pool });
      await runUntilAborted(running, surroundings.signal, () => {
        const answer = { pool: options.pool ?? 'default', concurrency: config.concurrency };
        print(
          globalOptions(command).json,
          answer,
          () => `The worker takes tasks of the pool ${answer.pool}, ${config.concurrency} at once.`,
        );
      });
      note('The worker has stopped.');
    });
}
