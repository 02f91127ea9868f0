import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Target } from './connection.ts';
import { makePrivateFolder, type PrivateFolder, sweepPrivateFolders } from './private-folder.ts';
import { trustedCertificates } from './session.ts';

/** The environment in which client tools reach a target. It must be closed after the tools ended. */
export interface ToolEnvironment {
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** No file lies there: libpq then neither sends a certificate of the worker's user nor reads that user's files. */
const nowhere = '/nonexistent/forestay';

/**
 * Everything goes by environment variables (https://www.postgresql.org/docs/current/libpq-envars.html): arguments are
 * shown to every user of the machine, and a database named `host=…` would be read as connection options there.
 */
export async function openToolEnvironment(
  target: Target,
  options: {
    readonly applicationName: string;
    readonly database?: string;
    /** Of the server, for the sessions of the tools. */
    readonly settings?: Readonly<Record<string, string>>;
  },
): Promise<ToolEnvironment> {
  const { sslmode, sslrootcert, sslcert, sslkey } = target;
  const files = {
    PGSSLROOTCERT: sslmode === 'verify-full' || sslrootcert ? trustedCertificates(target) : undefined,
    PGSSLCERT: sslcert,
    PGSSLKEY: sslkey,
  };
  const env: Record<string, string> = {
    HOME: nowhere,
    PGHOST: target.host,
    PGPORT: String(target.port),
    PGDATABASE: options.database ?? target.database,
    PGUSER: target.username,
    PGPASSWORD: target.password,
    PGPASSFILE: nowhere,
    PGAPPNAME: options.applicationName,
    PGSSLMODE: sslmode,
    PGGSSENCMODE: 'disable',
    PGCONNECT_TIMEOUT: '15',
    PGSSLROOTCERT: nowhere,
    PGSSLCERT: nowhere,
    PGSSLKEY: nowhere,
    PGSSLCRL: nowhere,
  };
  const settings = Object.entries(options.settings ?? {});
  if (settings.length > 0) env.PGOPTIONS = settings.map(asOption).join(' ');
  // Also where none is needed: what a killed worker left should go with the next task, whichever that is.
  await sweepPrivateFolders();
  let folder: PrivateFolder | undefined;
  try {
    for (const [name, text] of Object.entries(files)) {
      if (text === undefined) continue;
      folder ??= await makePrivateFolder('tls');
      const path = join(folder.path, name.toLowerCase());
      await writeFile(path, text, { mode: 0o600 });
      env[name] = path;
    }
  } catch (error) {
    await folder?.remove();
    throw error;
  }
  return { env, close: async () => folder?.remove() };
}

/** A space or backslash in a value would end it or hide what follows. */
function asOption([name, value]: readonly [string, string]): string {
  return `-c ${name}=${value.replace(/[\\\s]/g, '\\$&')}`;
}
