import type { Command } from 'commander';
import { readClientConfig } from '../config/client.ts';
import { readEnvironment } from '../config/environment.ts';
import type { Secrets } from '../config/secrets.ts';
import type { Config } from '../config.ts';
import type { CheckReport, RebuildReport } from './catalog-reports.ts';
import { type Client, connect } from './client.ts';

/** What a command gets from outside. The streams are replaced in no test: those run real processes. */
export interface Surroundings {
  /** Aborts on the first SIGINT or SIGTERM, with the CliError to end with. */
  readonly signal: AbortSignal;
  /** Loads app.ts, which only `serve`, `worker`, `migrate`, `doctor` and `catalog` ask for: the others start fast. */
  openSite(): Promise<Site>;
}

/** The part of app.ts that commands use; main.ts hands it in. */
export interface Site {
  startSite(
    config: Config,
    secrets: Secrets,
    parts: { readonly api: boolean; readonly worker: boolean; readonly pool: string | undefined },
  ): Promise<{ readonly url: string | undefined; close(): Promise<void> }>;
  /** Resolves with the names of the migrations that ran. */
  migrateSite(config: Config, secrets: Secrets): Promise<string[]>;
  examine(config: Config, secrets: Secrets, signal: AbortSignal): Promise<Finding[]>;
  rebuildSiteCatalog(
    config: Config,
    secrets: Secrets,
    options: { siteId: string | undefined; verify: boolean },
    signal: AbortSignal,
  ): Promise<RebuildReport>;
  checkSiteCatalog(
    config: Config,
    secrets: Secrets,
    options: { read: boolean },
    signal: AbortSignal,
  ): Promise<CheckReport>;
}

/** One thing that `doctor` looked at. */
export interface Finding {
  readonly what: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What to do about it. */
  readonly hint?: string | undefined;
}

/** Options that every command takes. */
export interface GlobalOptions {
  readonly json?: true;
  readonly url?: string;
  readonly tokenFile?: string;
}

export function globalOptions(command: Command): GlobalOptions {
  return command.optsWithGlobals<GlobalOptions>();
}

/** The API that the options and the environment name. */
export async function openClient(command: Command, surroundings: Surroundings): Promise<Client> {
  const config = await readClientConfig(await readEnvironment(), globalOptions(command));
  return connect(config, surroundings.signal);
}
