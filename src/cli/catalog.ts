import type { Command } from 'commander';
import { readEnvironment } from '../config/environment.ts';
import { readSecrets } from '../config/secrets.ts';
import { readConfig } from '../config.ts';
import type { CheckReport, RebuildReport } from './catalog-reports.ts';
import { CliError } from './errors.ts';
import { exitCodes } from './exit-codes.ts';
import { details, print } from './output.ts';
import { globalOptions, type Surroundings } from './surroundings.ts';

/** `forestay catalog …`: what the database knows and what the stores hold. The commands open database and stores themselves. */
export function catalogCommand(program: Command, surroundings: Surroundings): void {
  const group = program.command('catalog').description('What the database knows of what the stores hold.');

  group
    .command('rebuild')
    .description(
      'Make instances, keys and backups anew from the stores and the master key, in an empty database. The site must not run.',
    )
    .option('--site <id>', 'whose catalogue, where the stores hold several sites')
    .option('--verify', 'check the signature of every manifest, a fifth of a second each')
    .action(async (options: { site?: string; verify?: true }, command: Command) => {
      const { config, secrets, site } = await open(surroundings);
      const report = await site.rebuildSiteCatalog(
        config,
        secrets,
        { siteId: options.site, verify: options.verify === true },
        surroundings.signal,
      );
      print(globalOptions(command).json, report, () => describeRebuild(report));
    });

  group
    .command('check')
    .description(
      'Compare the stores with the database, both ways. With the embedded database the site must not run.',
    )
    .option('--read', 'read all data, too, and check its digests')
    .action(async (options: { read?: true }, command: Command) => {
      const { config, secrets, site } = await open(surroundings);
      const report = await site.checkSiteCatalog(
        config,
        secrets,
        { read: options.read === true },
        surroundings.signal,
      );
      print(globalOptions(command).json, report, () => describeCheck(report));
      const { length } = report.discrepancies;
      if (length > 0) {
        throw new CliError(
          'CatalogDiffers',
          exitCodes.failed,
          `Stores and database differ in ${length} places.`,
          {
            hint: 'docs/operating.md says what to do about each kind.',
          },
        );
      }
    });
}

async function open(surroundings: Surroundings) {
  const env = await readEnvironment();
  const config = readConfig(env);
  return {
    config,
    secrets: await readSecrets(env, config.dataDir),
    site: await surroundings.openSite(),
  };
}

function describeRebuild(report: RebuildReport): string {
  const { withoutConnection, skipped } = report;
  return [
    details({
      site: report.siteId,
      'state of': report.stateOf ?? 'no copy of the state was found: connections and unused keys are unknown',
      instances: String(report.instances),
      keys: String(report.keys),
      backups: String(report.backups),
      copies: String(report.copies),
      'of other sites': `${report.ofOtherSites} manifests, left alone`,
    }),
    ...report.stores.map(
      ({ store, objects, manifests }) => `${store}: ${objects} objects, ${manifests} manifests`,
    ),
    ...section(
      'Without a connection, to be set with: forestay instance change <instance> --connection-file <file>',
      withoutConnection,
    ),
    ...section(
      'Left out:',
      skipped.map(({ store, key, reason }) => `${key} in ${store}: ${reason}`),
    ),
  ].join('\n');
}

function describeCheck({ stores, checked, discrepancies }: CheckReport): string {
  return [
    ...stores.map(({ store, objects, ofOthers }) => `${store}: ${objects} objects, ${ofOthers} of others`),
    `${checked} backups and copies checked, ${discrepancies.length} discrepancies`,
    ...discrepancies.map(({ store, key, problem, detail }) => `${problem}: ${key} in ${store}. ${detail}`),
  ].join('\n');
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...lines.map((line) => `  ${line}`)];
}
