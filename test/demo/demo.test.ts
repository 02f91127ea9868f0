import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { Dataset, DemoServer } from '../../demo/dataset.ts';
import type { Narrator } from '../../demo/narrate.ts';
import { createPostgresqlDataset } from '../../demo/postgresql/dataset.ts';
import { directoryStores } from '../../demo/stores/directory.ts';
import { tell } from '../../demo/tell.ts';
import { runSql } from '../support/postgres-client.ts';
import { swiftMissing } from '../support/swift-server.ts';
import { until } from '../support/test-site.ts';

/** Some seconds, but the machine may be busy. */
const patience = { timeout: 180_000 };
const program = path.resolve(import.meta.dirname, '../../demo/run.ts');

/** The demo as a process, with a temp folder of its own. */
async function startDemo(args: readonly string[], env: Record<string, string> = {}) {
  const folder = await mkdtemp(path.join(tmpdir(), 'demo-'));
  // The user that the database servers run as must be able to pass through.
  await chmod(folder, 0o711);
  const { PATH = '', XDG_CACHE_HOME = '' } = process.env;
  const child: ChildProcess = spawn(process.execPath, [program, ...args], {
    env: { PATH, XDG_CACHE_HOME, TMPDIR: folder, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (piece: string) => {
      output += piece;
    });
  return {
    child,
    said: (what: string) => until(what, () => output.includes(what)),
    async end() {
      if (child.exitCode === null) await once(child, 'exit');
      const left = await readdir(folder);
      await rm(folder, { recursive: true, force: true });
      return { code: child.exitCode, output, left };
    },
  };
}

/** Spares both sites setting up a database, four seconds of a core each; the first story does without. */
const fromTemplate = { FORESTAY_TEST_TEMPLATE: process.env.FORESTAY_TEST_TEMPLATE ?? '' };

const stories = [
  { engine: 'postgresql', opened: 'pg_restore reads it', env: {} },
  { engine: 'files', opened: 'all equal to those in the folder', env: fromTemplate },
];

test.for(stories)(
  'the demo shows the whole story of $engine, ends with 0 and leaves nothing behind',
  patience,
  async ({ engine, opened, env }) => {
    const demo = await startDemo(['--engine', engine, '--size', 'small'], env);
    const { code, output, left } = await demo.end();
    expect(output).toContain('Everything came back, twice');
    expect(output.match(/✓ Equal, down to the last detail: /g)).toHaveLength(2);
    expect(output).toContain(opened);
    // What is no terminal gets plain lines.
    expect(output).not.toContain('\u001b');
    expect({ code, left }).toEqual({ code: 0, left: [] });
  },
);

test('an engine that the demo does not know is refused, and those are named that it knows', async () => {
  const demo = await startDemo(['--engine', 'dbase']);
  const { code, output } = await demo.end();
  expect(output).toContain('--engine dbase: there is no such engine here, but postgresql, mariadb, ');
  expect(code).toBe(2);
});

test('Ctrl-C in the middle cleans everything up', patience, async () => {
  const demo = await startDemo(['--size', 'small']);
  await demo.said('Making up data');
  demo.child.kill('SIGINT');
  const { code, output, left } = await demo.end();
  expect(output).toContain('Interrupted');
  expect({ code, left }).toEqual({ code: 130, left: [] });
});

const missing = swiftMissing();
test.skipIf(missing !== undefined)(
  `the story on an S3 server: site B has the copies alone, after site A and its bucket are gone${missing ? ` (cannot be told here: ${missing})` : ''}`,
  patience,
  async () => {
    const demo = await startDemo(['--store', 's3', '--engine', 'files', '--size', 'small'], fromTemplate);
    const { code, output, left } = await demo.end();
    expect(output).toContain('the bucket site-a with its');
    expect(output).toMatch(/recovery point: changes that are lost +\d/);
    expect(output).toMatch(/recovery time: from the loss until the data is back +\d/);
    expect(output).toContain('Everything came back');
    expect(code).toBe(0);
    expect(left).toEqual([]);
  },
);

test('restored data that differs in one row ends the demo with 1, and it says where', patience, async () => {
  const heard: string[] = [];
  const code = await tell(
    { dataset: tampering(createPostgresqlDataset()), stores: directoryStores, size: 'small', keep: false },
    listener(heard),
    new AbortController().signal,
  );
  expect(code).toBe(1);
  expect(heard).toContain('The demo failed: The restored instance is not equal to the original.');
  expect(heard.join('\n')).toContain('table sales.orders is different');
});

/** Changes one row just before what was restored is read: the third time that a server is read. */
function tampering(dataset: Dataset): Dataset {
  const spoilt = (server: DemoServer): DemoServer => {
    let reads = 0;
    const { host, port, database, username, password } = server.connection;
    return {
      ...server,
      async fingerprint() {
        reads += 1;
        if (reads === 3)
          await runSql(
            `postgres://${username}:${password}@${host}:${port}/${database}`,
            "UPDATE sales.orders SET ordered_at = ordered_at + interval '1 microsecond' WHERE id = 77",
          );
        return server.fingerprint();
      },
    };
  };
  return { ...dataset, startServer: async () => spoilt(await dataset.startServer()) };
}

function listener(heard: string[]): Narrator {
  const hear = (text: string) => void heard.push(text);
  return {
    act: hear,
    say: hear,
    quote: hear,
    good: hear,
    bad: hear,
    table: () => {},
    during: (_what, work) => work(() => {}),
  };
}
