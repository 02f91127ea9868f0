import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateMultipartUploadCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { examineS3Store } from '../../../src/storage/s3/prepare.ts';
import { abandoned, bytesOf, inChunks, keysOf, never } from '../../contract/store-data.ts';
import { s3Error, startFaultProxy } from '../../support/fault-proxy.ts';
import { swiftMissing } from '../../support/swift-server.ts';
import { bucket, type SwiftWithBucket, startSwiftWithBucket, storeAt, storeOptions } from './servers.ts';

const MiB = 1024 * 1024;
const missing = swiftMissing();
const describeSwift = missing ? describe.skip : describe;
if (missing) it.skip(`the S3 store and other clients on OpenStack Swift cannot be tested here: ${missing}`);

describeSwift('on OpenStack Swift', () => {
  let server: SwiftWithBucket;
  let folder: string;
  beforeAll(async () => {
    server = await startSwiftWithBucket();
    folder = await mkdtemp(join(tmpdir(), 'forestay-clients-'));
  });
  afterAll(async () => {
    await server?.close();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const store = (more = '') => storeAt(server.endpoint, { credentials: server.credentials, more });
  const small = randomBytes(1_000);
  const large = randomBytes(12 * MiB);

  describe('other clients', () => {
    beforeAll(async () => {
      await store().put('guid/manifest.json', inChunks(small), { signal: never });
      await store().put('guid/data', inChunks(large), { signal: never });
    });

    const aws = '/usr/bin/aws';
    it.skipIf(!existsSync(aws))(
      `aws lists and reads what was stored, and writes what is read${existsSync(aws) ? '' : ' [not run: there is no aws on this machine: apt-get install awscli]'}`,
      async () => {
        const s3 = (...args: string[]) =>
          run(aws, ['--endpoint-url', server.endpoint, 's3', ...args], {
            AWS_ACCESS_KEY_ID: server.credentials.accessKeyId,
            AWS_SECRET_ACCESS_KEY: server.credentials.secretAccessKey,
            AWS_DEFAULT_REGION: 'us-east-1',
            HOME: folder,
          });
        expect(await s3('ls', `s3://${bucket}/site/guid/`)).toMatch(
          / 12582912 data\n(.*\n)*.* 1000 manifest\.json/,
        );
        const listed = await s3('ls', '--recursive', `s3://${bucket}/site/`);
        expect(listed).toMatch(/ 1000 site\/guid\/manifest\.json/);
        expect(listed).toMatch(/ 12582912 site\/guid\/data/);
        await s3('cp', `s3://${bucket}/site/guid/data`, join(folder, 'data'));
        expect((await readFile(join(folder, 'data'))).equals(large)).toBe(true);
        await s3('cp', join(folder, 'data'), `s3://${bucket}/site/guid/copy`);
        expect((await bytesOf(await store().get('guid/copy', { signal: never }))).equals(large)).toBe(true);
        await store().delete(['guid/copy'], never);
      },
    );

    const s3cmd = '/usr/bin/s3cmd';
    it.skipIf(!existsSync(s3cmd))(
      `s3cmd lists and reads what was stored${existsSync(s3cmd) ? '' : ' [not run: there is no s3cmd on this machine: apt-get install s3cmd]'}`,
      async () => {
        const { host } = new URL(server.endpoint);
        const { accessKeyId, secretAccessKey } = server.credentials;
        const env = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, HOME: folder };
        const usual = ['--no-ssl', `--host=${host}`, `--host-bucket=${host}`, '--region=us-east-1'];
        const s3 = (...args: string[]) => run(s3cmd, [...usual, ...args], env);
        const listed = await s3('ls', '--recursive', `s3://${bucket}/site/`);
        expect(listed).toMatch(/ 1000 +s3:\/\/forestay-test\/site\/guid\/manifest\.json/);
        expect(listed).toMatch(/ 12582912 +s3:\/\/forestay-test\/site\/guid\/data/);
        for (const [name, bytes] of [
          ['manifest.json', small],
          ['data', large],
        ] as const) {
          await s3('get', '--force', `s3://${bucket}/site/guid/${name}`, join(folder, name));
          expect((await readFile(join(folder, name))).equals(bytes)).toBe(true);
        }
      },
    );

    it('anybody with a presigned URL reads the object, ranges included, until it expires', async () => {
      const presign = store('&presign=true').presign!;
      const url = await presign('guid/data', { ttlSeconds: 60, fileName: 'backup-1.enc' });
      const whole = await fetch(url);
      expect(whole.headers.get('content-disposition')).toBe('attachment; filename="backup-1.enc"');
      expect(Buffer.from(await whole.arrayBuffer()).equals(large)).toBe(true);
      const part = await fetch(url, { headers: { range: 'bytes=5-9' } });
      expect(part.status).toBe(206);
      expect(Buffer.from(await part.arrayBuffer()).equals(large.subarray(5, 10))).toBe(true);
      expect((await fetch(url.replace('guid/data', 'guid/manifest.json'))).status).toBe(403);
      expect(url).not.toContain(server.credentials.secretAccessKey);
      const short = await presign('guid/data', { ttlSeconds: 1 });
      await expect
        .poll(async () => (await fetch(short, { method: 'GET', headers: { range: 'bytes=0-0' } })).status, {
          timeout: 10_000,
        })
        .toBe(403);
    });

    it('nobody gets a presigned URL that was not wanted, or for a key that is none', async () => {
      expect(store().presign).toBeUndefined();
      const presign = store('&presign=true').presign!;
      const refused = { code: 'BadRequest' };
      await expect(presign('../x', { ttlSeconds: 60 })).rejects.toMatchObject(refused);
      await expect(presign('x', { ttlSeconds: 0 })).rejects.toMatchObject(refused);
      await expect(presign('x', { ttlSeconds: 700_000 })).rejects.toMatchObject(refused);
      await expect(presign('x', { ttlSeconds: 60, fileName: 'a"b' })).rejects.toMatchObject(refused);
    });
  });

  it('an upload that somebody’s crash left is removed when it is old, with its parts', async () => {
    const target = { Bucket: bucket, Key: 'site/guid/crashed' };
    const { UploadId } = await server.client.send(new CreateMultipartUploadCommand(target));
    const part = { ...target, UploadId, PartNumber: 1, Body: randomBytes(5 * MiB) };
    await server.client.send(new UploadPartCommand(part));
    expect(await store().removeAbandonedPuts?.(abandoned({ before: new Date(Date.now() - 60_000) }))).toBe(0);
    expect(await server.uploads()).toHaveLength(1);
    const isOurs = (key: string) => !key.startsWith('guid/');
    expect(await store().removeAbandonedPuts?.(abandoned({ isOurs }))).toBe(0);
    expect(await server.uploads()).toHaveLength(1);
    expect(await store().removeAbandonedPuts?.(abandoned())).toBe(1);
    expect(await server.uploads()).toEqual([]);
  });

  it('finds all of 25,000 objects, page by page of 100', { timeout: 300_000 }, async () => {
    const keys = Array.from({ length: 25_000 }, (_, index) => `many/${index % 31}/object-${index}`);
    await server.listFalsely(keys);
    expect(await keysOf(store().list('many/', never))).toEqual(keys.sort());
  });

  describe('the look at the start', () => {
    const look = (changes: {
      endpoint?: string;
      accessKeyId?: string;
      secretAccessKey?: string;
      bucket?: string;
    }) => {
      const { endpoint = server.endpoint, bucket: name, ...credentials } = changes;
      const options = storeOptions(endpoint, { credentials: { ...server.credentials, ...credentials } });
      const location = { ...options.location, ...(name && { bucket: name }) };
      return examineS3Store({ ...options, location }, never);
    };

    it('has a sentence about endpoint, credentials and clock, and leaves nothing', async () => {
      const before = await keysOf(store().list('', never));
      expect(await look({})).toEqual([
        `The endpoint ${server.endpoint} answers`,
        `The credentials are right and may list the bucket ${bucket}`,
        'Its clock and that of this machine agree',
      ]);
      expect(await keysOf(store().list('', never))).toEqual(before);
    });

    it.each([
      ['an unknown key', { accessKeyId: 'nobody:here' }, /credentials|signature/],
      ['a wrong secret', { secretAccessKey: 'wrong' }, /signature wrong/],
      ['a bucket that is not there', { bucket: 'nothing-here' }, /no such bucket/],
    ])('refuses %s', async (_, changes, message) => {
      await expect(look(changes)).rejects.toMatchObject({
        code: 'Misconfigured',
        message: expect.stringMatching(message),
        hint: expect.stringMatching(/./),
      });
    });

    it('may be repeated when nothing answers', async () => {
      await expect(look({ endpoint: 'http://127.0.0.1:1' })).rejects.toMatchObject({
        code: 'StoreUnavailable',
      });
    });

    it('says by how much the clock is wrong', async () => {
      const proxy = await startFaultProxy(server.endpoint);
      try {
        const date = new Date(Date.now() + 10 * 60_000).toUTCString();
        const page = '<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>';
        proxy.setRule(() => ({ kind: 'answer', status: 200, headers: { date }, body: page }));
        const [, , clock] = await look({ endpoint: proxy.url });
        expect(clock).toMatch(/^Its clock is (59\d|60\d) seconds ahead/);
        const anHourAgo = new Date(Date.now() - 60 * 60_000).toUTCString();
        for (const answer of [
          s3Error(403, 'RequestTimeTooSkewed', { date: anHourAgo }),
          // A client that knows of the difference signs with the time of the server, which is content then.
          { kind: 'answer', status: 200, headers: { date: anHourAgo }, body: page } as const,
        ]) {
          proxy.setRule(() => answer);
          await expect(look({ endpoint: proxy.url })).rejects.toMatchObject({
            code: 'Misconfigured',
            message: expect.stringMatching(/is (3599|360\d) seconds behind that of this machine/),
            hint: expect.stringContaining('clock'),
          });
        }
      } finally {
        await proxy.close();
      }
    });
  });
});

async function run(command: string, args: readonly string[], env: Record<string, string>): Promise<string> {
  // Not synchronously: nobody could answer from this process meanwhile.
  const child = spawn(command, args, {
    env: { PATH: '/usr/bin:/bin', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, errors, code] = await Promise.all([
    bytesOf(child.stdout),
    bytesOf(child.stderr),
    new Promise((resolve) => child.on('close', resolve)),
  ]);
  if (code !== 0) throw new Error(`${command} failed: ${errors}`);
  return output.toString();
}
