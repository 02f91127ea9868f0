import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import type { Bench } from './bench.ts';
import { serverSettings } from './bench.ts';

/** Where something was measured, a sentence each; nothing that names the machine. */
export async function describeMachine(bench: Bench): Promise<string[]> {
  const [server] = await bench.sql<{ version: string }>(
    "SELECT current_setting('server_version') AS version",
  );
  const settings = Object.entries(serverSettings).map(([name, value]) => `${name} = ${value}`);
  return [
    `${availableParallelism()} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB of memory, ${await systemName()}`,
    `Node ${process.version}, PostgreSQL ${server?.version} on the same machine with ${settings.join(', ')}; fsync is on`,
  ];
}

/** Averages of 1 and 5 minutes: before a run they tell how much others have to do on the machine. */
export function load(): string {
  return loadavg()
    .slice(0, 2)
    .map((average) => average.toFixed(1))
    .join(' / ');
}

async function systemName(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const [, name] = /^PRETTY_NAME="?([^"\n]+)/m.exec(text) ?? [];
  return name === undefined ? `${type()} ${release()}` : `${name}, Linux ${release().split('-')[0]}`;
}
