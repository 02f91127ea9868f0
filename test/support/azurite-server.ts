import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A private Azurite, Microsoft's emulator of Azure's blob service, with its data in a temp folder. */
export interface AzuriteServer {
  /** Of the account's blob service. */
  readonly endpoint: string;
  readonly account: string;
  /** Base64. */
  readonly key: string;
  stop(): Promise<void>;
}

/** What Azurite says when it can be asked; with port 0 it chooses a free one. */
const listening = /successfully listens on (http:\/\/[\d.]+:\d+)/;

/**
 * Starts one; it ends with `stop()`, and on Linux also when this process dies. Its version is pinned: the newest ones bring twice as
 * many packages, for telemetry. Of the versions of Azure's API it is asked for one that may be younger than itself.
 */
export async function startAzurite(): Promise<AzuriteServer> {
  const folder = await mkdtemp(join(tmpdir(), 'forestay-azurite-'));
  const account = 'forestaytest';
  const key = randomBytes(64).toString('base64');
  const child = start(folder, `${account}:${key}`);
  const stop = async () => {
    await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    return { endpoint: `${await whenListening(child, folder)}/${account}`, account, key, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function start(folder: string, accounts: string): ChildProcess {
  const program = createRequire(import.meta.url).resolve('azurite/dist/src/blob/main.js');
  const options = ['--silent', '--disableTelemetry', '--skipApiVersionCheck'];
  const command = [process.execPath, program, ...options, '--blobPort', '0', '--location', folder];
  const bound = existsSync('/usr/bin/setpriv')
    ? ['/usr/bin/setpriv', '--pdeathsig=KILL', '--', ...command]
    : command;
  const [file = '', ...args] = bound;
  const log = openSync(join(folder, 'log'), 'a');
  try {
    return spawn(file, args, {
      cwd: folder,
      env: { PATH: process.env.PATH ?? '', AZURITE_ACCOUNTS: accounts },
      stdio: ['ignore', log, log],
    });
  } finally {
    closeSync(log);
  }
}

async function whenListening(child: ChildProcess, folder: string): Promise<string> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const log = await readFile(join(folder, 'log'), 'utf8');
    const url = listening.exec(log)?.[1];
    if (url) return url;
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`Azurite did not start: ${log}`);
    await sleep(50);
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
