import type { Command } from 'commander';
import { readEnvironment } from '../config/environment.ts';
import { readSecrets } from '../config/secrets.ts';
import { readConfig } from '../config.ts';
import { note, print } from './output.ts';
import { runUntilAborted } from './run-until-aborted.ts';
import { globalOptions, type Surroundings } from './surroundings.ts';

/** `forestay serve`: API, dashboard, scheduler and worker in one process, until Ctrl-C. */
export function serveCommand(program: Command, surroundings: Surroundings): void {
  program
    .command('serve')
    .description('Run the site: API, dashboard, scheduler and a worker of the default pool.')
    .option('--no-worker', 'run no tasks: workers run as processes of their own (needs DATABASE_URL)')
    .action(async (options: { worker: boolean }, command: Command) => {
      const env = await readEnvironment();
      const config = readConfig(env);
      const secrets = await readSecrets(env, config.dataDir);
      const { startSite } = await surroundings.openSite();
      const running = await startSite(config, secrets, {
        api: true,
        worker: options.worker,
        pool: undefined,
      });
      await runUntilAborted(running, surroundings.signal, () => {
        const answer = { url: running.url, admin_token_file: secrets.adminTokenFile ?? null };
        print(globalOptions(command).json, answer, () =>
          [
            `Forestay listens on ${running.url}`,
            `The admin token is in ${secrets.adminTokenFile ?? 'FORESTAY_ADMIN_TOKEN'}`,
          ].join('\n'),
        );
      });
      note('Forestay has stopped.');
    });
}
