import type { Command } from 'commander';
import { readClientConfig, readEnvironment } from '../config.ts';
import { type Client, connect } from './client.ts';

/** What a command gets from outside. The streams are replaced in no test: those run real processes. */
export interface Surroundings {
  /** Aborts on the first SIGINT or SIGTERM, with the CliError to end with. */
  readonly signal: AbortSignal;
  /** Opens app.ts, which only `serve`, `worker`, `migrate` and `doctor` do: the others start fast. */
  openSite(): Promise<Site>;
}

/** The part of app.ts that commands use. */
export type Site = Pick<typeof import('../app.ts'), 'startSite' | 'migrateSite' | 'examine'>;

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
