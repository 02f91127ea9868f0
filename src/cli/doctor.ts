import type { Command } from 'commander';
import { readClientConfig } from '../config/client.ts';
import { readEnvironment } from '../config/environment.ts';
import { readSecrets } from '../config/secrets.ts';
import { readConfig } from '../config.ts';
import { ForestayError } from '../core/errors.ts';
import { CliError } from './errors.ts';
import { exitCodes } from './exit-codes.ts';
import { print } from './output.ts';
import { type Finding, type GlobalOptions, globalOptions, type Surroundings } from './surroundings.ts';

type Environment = Awaited<ReturnType<typeof readEnvironment>>;

/** `forestay doctor`: what is configured, reachable and installed, and what to do about the rest. Works with and without a running site. */
export function doctorCommand(program: Command, surroundings: Surroundings): void {
  program
    .command('doctor')
    .description('Look at what is configured, reachable and installed, and say what to do about the rest.')
    .action(async (_options, command: Command) => {
      const options = globalOptions(command);
      const findings = await examine(options, surroundings);
      surroundings.signal.throwIfAborted();
      print(options.json, findings, () => findings.map(lineOf).join('\n'));
      const failures = findings.filter(({ state }) => state === 'fail').length;
      if (failures > 0) {
        throw new CliError(
          'Unhealthy',
          exitCodes.failed,
          `${failures} of ${findings.length} checks failed.`,
          {
            hint: 'Each says what to do.',
          },
        );
      }
    });
}

async function examine(options: GlobalOptions, surroundings: Surroundings): Promise<Finding[]> {
  const { signal } = surroundings;
  try {
    const env = await readEnvironment();
    const config = readConfig(env);
    const secrets = await readSecrets(env, config.dataDir);
    const configuration: Finding = {
      what: 'configuration',
      state: 'ok',
      detail: `data in ${config.dataDir}`,
    };
    const { examine: examineSite } = await surroundings.openSite();
    const findings = await examineSite(config, secrets, signal);
    return [configuration, ...findings, ...(await askApi(env, options, signal))];
  } catch (error) {
    if (!(error instanceof ForestayError)) throw error;
    return [{ what: 'configuration', state: 'fail', detail: error.message, hint: error.hint }];
  }
}

/** A site that does not run is worth a warning, one that runs and is not well a failure. */
async function askApi(env: Environment, options: GlobalOptions, signal: AbortSignal): Promise<Finding[]> {
  try {
    const { url, token, tokenMissing } = await readClientConfig(env, options);
    const alive = await ask(`${url}/healthz`, signal);
    if (alive === undefined) {
      const hint = 'Start it with: forestay serve. Or name the site with FORESTAY_URL or --url.';
      return [{ what: 'API', state: 'warn', detail: `nothing answers at ${url}`, hint }];
    }
    const ready = await ask(`${url}/readyz`, signal);
    return [
      alive.status === 200
        ? { what: 'API', state: 'ok', detail: `answers at ${url}` }
        : {
            what: 'API',
            state: 'fail',
            detail: `${url}/healthz answers ${alive.status}`,
            hint: 'Is it Forestay? See its log.',
          },
      ready?.status === 200
        ? { what: 'API is ready', state: 'ok', detail: 'it reaches what it needs' }
        : {
            what: 'API is ready',
            state: 'fail',
            detail: `${ready?.reasons.join(' ') || `${url}/readyz answers ${ready?.status ?? 'nothing'}`}`,
            hint: 'Its log says what it waits for.',
          },
      token === undefined
        ? { what: 'token', state: 'warn', detail: 'none for the client commands', hint: tokenMissing }
        : await checkToken(url, token, signal),
    ];
  } catch (error) {
    if (!(error instanceof ForestayError)) throw error;
    return [{ what: 'API', state: 'fail', detail: error.message, hint: error.hint }];
  }
}

async function checkToken(url: string, token: string, signal: AbortSignal): Promise<Finding> {
  const answer = await ask(`${url}/v1/instances`, signal, { authorization: `Bearer ${token}` });
  if (answer?.status === 200) return { what: 'token', state: 'ok', detail: 'the site takes it' };
  return {
    what: 'token',
    state: 'fail',
    detail: `the site answers ${answer?.status ?? 'nothing'} to the token`,
    hint: 'Check FORESTAY_TOKEN or --token-file.',
  };
}

/** The status, and what a site that is not ready waits for; undefined where nothing answers. */
async function ask(
  url: string,
  signal: AbortSignal,
  headers: Record<string, string> = {},
): Promise<{ status: number; reasons: readonly string[] } | undefined> {
  try {
    const within = AbortSignal.any([signal, AbortSignal.timeout(5000)]);
    const response = await fetch(url, { headers, redirect: 'manual', signal: within });
    const body = (await response.json().catch(() => undefined)) as { reasons?: unknown } | undefined;
    const reasons = Array.isArray(body?.reasons) ? body.reasons.map(String) : [];
    return { status: response.status, reasons };
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

function lineOf({ what, state, detail, hint }: Finding): string {
  const line = `${{ ok: 'ok  ', warn: 'warn', fail: 'FAIL' }[state]}  ${what}: ${detail}`;
  return state !== 'ok' && hint ? `${line}\n      -> ${hint}` : line;
}
