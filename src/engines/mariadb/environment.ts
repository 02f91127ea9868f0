import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Target } from './connection.ts';
import { trustedCertificates } from './session.ts';

/** How client tools reach a target: their first argument. It must be closed after they ended. */
export interface ToolEnvironment {
  /** The only file of options that the tool reads. */
  readonly defaultsFile: string;
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/**
 * Everything goes by a file of options that only this user may read: arguments are shown to every user of the machine. The
 * tool speaks TLS if and only if our own session did, because what it does by default differs from version to version.
 */
export async function openToolEnvironment(target: Target, usesTls: boolean): Promise<ToolEnvironment> {
  const folder = await mkdtemp(join(tmpdir(), 'forestay-mariadb-'));
  const close = () => rm(folder, { recursive: true, force: true });
  try {
    const options: Record<string, string> = {
      host: target.host,
      port: String(target.port),
      protocol: 'tcp',
      user: target.username,
      password: target.password,
      'default-character-set': 'utf8mb4',
      ssl: usesTls ? '1' : '0',
    };
    if (usesTls) {
      const { sslmode, sslrootcert, sslcert, sslkey } = target;
      options['ssl-verify-server-cert'] = sslmode === 'verify-full' ? '1' : '0';
      const files = {
        'ssl-ca': sslmode === 'verify-full' || sslrootcert ? trustedCertificates(target) : undefined,
        'ssl-cert': sslcert,
        'ssl-key': sslkey,
      };
      for (const [name, text] of Object.entries(files)) {
        if (text === undefined) continue;
        options[name] = join(folder, name);
        await writeFile(join(folder, name), text, { mode: 0o600 });
      }
    }
    const defaultsFile = join(folder, 'options.cnf');
    const lines = Object.entries(options).map(([name, value]) => `${name}=${quotedOption(value)}`);
    await writeFile(defaultsFile, `[client]\n${lines.join('\n')}\n`, { mode: 0o600 });
    // HOME: neither the files nor the plugins of the worker's user.
    return { defaultsFile, env: { HOME: folder, MARIADB_HOME: folder }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** https://mariadb.com/kb/en/configuring-mariadb-with-option-files/: quotes make # and spaces stand for themselves. */
function quotedOption(value: string): string {
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\t', '\\t')}"`;
}
