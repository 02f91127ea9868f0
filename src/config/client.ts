import { readFile } from 'node:fs/promises';
import { readConfig } from '../config.ts';
import type { Environment } from './environment.ts';
import { adminTokenFile, readSecretFile } from './secrets.ts';
import { misconfigured } from './values.ts';

/** Whom the client commands talk to. */
export interface ClientConfig {
  /** Without a slash at the end. */
  readonly url: string;
  /** Undefined where none was found; `tokenMissing` then says what to do. */
  readonly token: string | undefined;
  readonly tokenMissing: string;
}

/**
 * Whom to talk to and with which token: options, then the environment, then the site of this machine. The admin token of
 * this machine's site is never sent anywhere else.
 */
export async function readClientConfig(
  env: Environment,
  options: { readonly url?: string | undefined; readonly tokenFile?: string | undefined } = {},
): Promise<ClientConfig> {
  const given = options.url ?? env.FORESTAY_URL;
  const token =
    options.tokenFile === undefined ? env.FORESTAY_TOKEN : await readSecretFile(options.tokenFile);
  if (given !== undefined) {
    return {
      url: siteUrl(given, options.url === undefined ? 'FORESTAY_URL' : '--url'),
      token,
      tokenMissing: 'Set FORESTAY_TOKEN, or name a file that holds the token with --token-file.',
    };
  }
  const { dataDir, listen } = readConfig(env);
  const tokenFile = adminTokenFile(dataDir);
  const local = token ?? env.FORESTAY_ADMIN_TOKEN ?? (await readIfThere(tokenFile));
  const host =
    ({ '0.0.0.0': '127.0.0.1', '::': '::1' } as Record<string, string>)[listen.host] ?? listen.host;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${listen.port}`,
    token: local,
    tokenMissing: `There is no ${tokenFile} that may be read: set FORESTAY_URL and FORESTAY_TOKEN, or start a site here with: forestay serve`,
  };
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch {
    return undefined;
  }
}

function siteUrl(text: string, name: string): string {
  const url = URL.parse(text);
  if (
    !url ||
    !/^https?:$/.test(url.protocol) ||
    url.search !== '' ||
    url.hash !== '' ||
    url.username !== '' ||
    url.password !== ''
  ) {
    throw misconfigured(`${name} is not a plain http(s) URL.`, 'Example: https://forestay.example.org');
  }
  return text.replace(/\/+$/, '');
}
