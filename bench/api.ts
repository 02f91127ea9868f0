import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Bench } from './bench.ts';
import { backUp, createToken, registerInstance } from './client.ts';
import { dropDatabase, makeBlobs } from './dataset.ts';
import { type Row, spread } from './report.ts';
import { inRounds, median, ratios } from './rounds.ts';
import { prepareSite, serveSite } from './site.ts';

const listed = 20;
const connections = 20;
const seconds = 5;

/** A developer's list of backups, against a route that only sends the same bytes; the load comes from a process of its own. */
export async function measureApi(bench: Bench, rounds: number): Promise<Row[]> {
  await using state = await prepareSite(bench, 'server');
  await using site = await serveSite(bench, state);
  const guid = await registerInstance(site, await makeBlobs(bench, 'small', 1));
  for (let taken = 0; taken < listed; taken++) await backUp(site, guid, bench.signal);
  await dropDatabase(bench, 'small');
  const url = `${site.url}/v1/instances/${guid}/backups`;
  const authorization = `Bearer ${await createToken(site, guid)}`;
  const answer = await fetch(url, { headers: { authorization } });
  const body = await answer.text();
  if (!answer.ok || JSON.parse(body).length !== listed)
    throw new Error(`the list is not one of ${listed}: ${body}`);
  await using bare = await serveBytes(bench, body);

  const p99 = { bare: [] as number[], forestay: [] as number[] };
  const fire = async (name: keyof typeof p99, target: string) => {
    const result = await cannonade(bench, target, authorization);
    p99[name].push(result.p99);
    return result.requests;
  };
  await fire('bare', bare.url);
  await fire('forestay', url);
  p99.bare.length = p99.forestay.length = 0;
  const requests = await inRounds(
    rounds,
    { bare: () => fire('bare', bare.url), forestay: () => fire('forestay', url) },
    (name, round, value) => bench.say(`  api, round ${round}: ${name} ${Math.round(value)} requests/s`),
  );
  return [
    {
      what: `list of ${listed} backups / bare route, requests a second`,
      values: ratios(requests.forestay, requests.bare),
      unit: 'x',
      target: { atLeast: 0.25 },
      figures:
        `${spread(requests.forestay, '/s', 0)} with p99 ${median(p99.forestay)} ms, bare ${spread(requests.bare, '/s', 0)} ` +
        `with p99 ${median(p99.bare)} ms; ${body.length} bytes, ${connections} connections`,
    },
  ];
}

async function serveBytes(bench: Bench, body: string): Promise<AsyncDisposable & { url: string }> {
  const file = join(bench.folder, 'answer.json');
  await writeFile(file, body);
  const child = spawn(process.execPath, [fileURLToPath(new URL('./bare-route.ts', import.meta.url)), file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [url] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    url: url.toString().trim(),
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit');
      if (child.exitCode === null && child.signalCode === null && child.kill('SIGTERM')) await exited;
    },
  };
}

/** autocannon, as a program; anything but 2xx is an error. */
async function cannonade(
  { signal }: Bench,
  url: string,
  authorization: string,
): Promise<{ requests: number; p99: number }> {
  const program = createRequire(import.meta.url).resolve('autocannon');
  const args = [
    '--json',
    '-c',
    `${connections}`,
    '-d',
    `${seconds}`,
    '-H',
    `authorization=${authorization}`,
    url,
  ];
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], { signal });
  const result = JSON.parse(stdout) as {
    requests: { average: number };
    latency: { p99: number };
    non2xx: number;
    errors: number;
  };
  if (result.non2xx + result.errors > 0)
    throw new Error(`${url}: ${result.non2xx} answers were no 2xx, ${result.errors} failed`);
  return { requests: result.requests.average, p99: result.latency.p99 };
}
