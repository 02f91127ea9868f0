import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { readFile, symlink } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { createServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { run } from '../cli/run.ts';
import { bucket, type SwiftWithBucket, startSwiftWithBucket } from '../storage/s3/servers.ts';
import { copyDatabaseTemplate } from '../support/database-template.ts';
import { temporaryFolder } from '../support/site-process.ts';
import { swiftMissing } from '../support/swift-server.ts';

/** What operators get wrong about stores: `forestay doctor` and `forestay serve` say what to do, as real processes. */

interface Mistake {
  readonly env: Readonly<Record<string, string>>;
  /** What is said, and what to do about it. */
  readonly says: RegExp;
  readonly hint: RegExp;
  /** Also ask `serve`, which takes seconds: once for each place in the code that notices. */
  readonly serve?: boolean;
}

const stack = new AsyncDisposableStack();
let folder: string;
afterAll(() => stack.disposeAsync());
beforeAll(async () => {
  folder = stack.use(await temporaryFolder('misconfigured-')).path;
});

async function expectRefusal({ env, says, hint, serve: asked = false }: Mistake): Promise<void> {
  await using dataDir = await temporaryFolder('misconfigured-site-');
  await copyDatabaseTemplate(dataDir.path);
  const usual = {
    FORESTAY_DATA_DIR: dataDir.path,
    FORESTAY_LISTEN: '127.0.0.1:0',
    FORESTAY_LOG_LEVEL: 'silent',
    AWS_EC2_METADATA_DISABLED: 'true',
    HOME: dataDir.path,
  };
  const doctor = await run(['doctor'], { env: { ...usual, ...env } });
  const finding = /^FAIL {2}(?:primary|secondary) store.*\n {6}-> .*$/m.exec(doctor.stdout)?.[0];
  expect(finding, doctor.stdout + doctor.stderr).toMatch(says);
  expect(finding).toMatch(hint);
  expect(doctor.code).toBe(1);
  const secret = env.AWS_SECRET_ACCESS_KEY;
  if (secret) expect(JSON.stringify(doctor)).not.toContain(secret);
  if (!asked) return;
  const askedAt = performance.now();
  const serve = await run(['serve'], { env: { ...usual, ...env } });
  // Nobody waits for what does not get better by itself.
  expect(performance.now() - askedAt).toBeLessThan(20_000);
  expect(serve.stderr).toMatch(says);
  expect(serve.stderr).toMatch(hint);
  expect(serve).toMatchObject({ code: 2, stdout: '' });
  if (secret) expect(JSON.stringify(serve)).not.toContain(secret);
}

test('one folder under two names is refused as a second store', async () => {
  const link = path.join(folder, 'link');
  await symlink(path.join(folder, 'store'), link);
  await expectRefusal({
    env: { FORESTAY_STORE: `file:${folder}/store`, FORESTAY_SECONDARY_STORES: `file:${link}` },
    says: /is named twice/,
    hint: /Name another folder, bucket or prefix/,
    serve: true,
  });
});

const missing = swiftMissing();
if (missing) it.skip(`mistakes about OpenStack Swift cannot be tested here: ${missing}`);

describe.skipIf(missing)('an S3 store (OpenStack Swift) is refused', () => {
  let server: SwiftWithBucket;
  /** The same server, behind TLS. */
  let secureUrl: string;
  const [faketime] = globSync('/usr/lib/*/faketime/libfaketime.so.1');

  beforeAll(async () => {
    server = await startSwiftWithBucket();
    stack.defer(() => server.close());
    secureUrl = await serveTls();
  });

  const url = (more = '', { place = `${bucket}/site`, endpoint = server.endpoint } = {}) =>
    `s3://${place}?endpoint=${endpoint}${more}`;
  const withKeys = (store: string, more: Record<string, string> = {}) => ({
    FORESTAY_STORE: store,
    AWS_ACCESS_KEY_ID: server.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: server.credentials.secretAccessKey,
    ...more,
  });
  const https = () => server.endpoint.replace('http:', 'https:');
  const http = () => secureUrl.replace('https:', 'http:');

  it.each<[string, () => Record<string, string>, RegExp, RegExp]>([
    [
      'without the name of a bucket',
      () => withKeys(url('', { place: '' })),
      /names no bucket/,
      /s3:\/\/bucket/,
    ],
    [
      'with a bucket that is not there',
      () => withKeys(url('', { place: 'nothing-here' })),
      /has no such bucket/,
      /Create the bucket/,
    ],
    [
      'with an unknown key',
      () => withKeys(url(), { AWS_ACCESS_KEY_ID: 'nobody:here' }),
      /credentials|signature/,
      /Check AWS_/,
    ],
    [
      'with a wrong secret',
      () => withKeys(url(), { AWS_SECRET_ACCESS_KEY: 'another-secret' }),
      /signature wrong/,
      /AWS_SECRET_ACCESS_KEY/,
    ],
    ['without credentials', () => ({ FORESTAY_STORE: url() }), /needs credentials/, /Set AWS_ACCESS_KEY_ID/],
    [
      'with https for a server that speaks http',
      () => withKeys(url('', { endpoint: https() })),
      /protocol/,
      /change the scheme of endpoint=/,
    ],
    [
      'with http for a server that speaks https',
      () => withKeys(url('', { endpoint: http() })),
      /https is spoken there/,
      /change the scheme of endpoint=/,
    ],
    [
      'with a prefix that leads elsewhere',
      () => withKeys(url('', { place: `${bucket}/../site` })),
      /cannot be the prefix/,
      /without "\.\."/,
    ],
    [
      'with the region of another bucket',
      () => withKeys(url('&region=eu-central-1')),
      /in another region/,
      /Set region=/,
    ],
    ['with an unknown option', () => withKeys(url('&acl=public')), /no option "acl"/, /It has: endpoint/],
    [
      'as its own second store',
      () =>
        withKeys(url(), { FORESTAY_SECONDARY_STORES: `${url('&part_size=8').replace(/\/site/, '/site/')}` }),
      /is named twice/,
      /another folder, bucket or prefix/,
    ],
  ])('%s', async (mistake, env, says, hint) => {
    await expectRefusal({ env: env(), says, hint, serve: /bucket|secret|https for/.test(mistake) });
  });

  it.skipIf(!faketime)(
    `by a machine whose clock is an hour off${faketime ? '' : ' [not run: there is no faketime on this machine: apt-get install faketime]'}`,
    async () => {
      const clock = { LD_PRELOAD: faketime ?? '', FAKETIME: '+1h', FAKETIME_DONT_FAKE_MONOTONIC: '1' };
      await expectRefusal({
        env: withKeys(url(), clock),
        says: /is 3[56]\d\d seconds behind that of this machine/,
        hint: /Set the clock of this machine/,
        serve: true,
      });
    },
  );

  async function serveTls(): Promise<string> {
    const [key, cert] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')];
    const subject = ['-days', '2', '-subj', '/CN=localhost', '-keyout', key, '-out', cert];
    const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject];
    execFileSync('openssl', args, { stdio: 'ignore' });
    const secure = createServer({ key: await readFile(key), cert: await readFile(cert) }, (socket) => {
      socket.on('error', () => {}).end();
    });
    secure.on('tlsClientError', () => {}).listen(0, '127.0.0.1');
    stack.defer(() => void secure.close());
    await once(secure, 'listening');
    return `https://127.0.0.1:${(secure.address() as AddressInfo).port}`;
  }
});
