import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import S3rver from 's3rver';
import type { Repeat } from '../../../src/core/repeat.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { parseS3Location } from '../../../src/storage/s3/location.ts';
import { createS3Store } from '../../../src/storage/s3/store.ts';
import { startSwiftServer } from '../../support/swift-server.ts';

/** An S3 server with a bucket of its own for a test file, and a client that is not ours. */
export interface TestServer {
  readonly endpoint: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly bucket: string;
  readonly client: S3Client;
  /** Ids of multipart uploads that are under way, or were left. */
  uploads(): Promise<string[]>;
  store(options?: TestStoreOptions): ObjectStore;
  close(): Promise<void>;
}

export interface TestStoreOptions {
  readonly prefix?: string;
  /** Default: the server itself. */
  readonly endpoint?: string;
  /** More of the URL: `&part_size=5`. */
  readonly more?: string;
  readonly repeat?: Repeat;
  readonly silenceMs?: number;
}

export async function startSwift(): Promise<TestServer> {
  const swift = await startSwiftServer();
  return testServer(swift.endpoint, swift.credentials, swift.stop);
}

/** Not a real server: quick, forgiving, and without a list of uploads. */
export async function startS3rver(): Promise<TestServer> {
  const directory = await mkdtemp(join(tmpdir(), 'forestay-s3rver-'));
  const server = new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory });
  const { port } = await server.run();
  return testServer(
    `http://127.0.0.1:${port}`,
    { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
    async () => {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  );
}

async function testServer(
  endpoint: string,
  credentials: TestServer['credentials'],
  stop: () => Promise<void>,
): Promise<TestServer> {
  const bucket = 'forestay-test';
  const client = new S3Client({
    endpoint,
    credentials,
    region: 'us-east-1',
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });
  await client.send(new CreateBucketCommand({ Bucket: bucket })).catch(async (error: unknown) => {
    client.destroy();
    await stop();
    throw error;
  });
  return {
    endpoint,
    credentials,
    bucket,
    client,
    async uploads() {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      return Uploads.map(({ Key, UploadId }) => `${Key} ${UploadId}`);
    },
    store({ prefix = 'site', more = '', repeat, silenceMs, ...options } = {}) {
      const at = encodeURIComponent(options.endpoint ?? endpoint);
      const location = parseS3Location(`s3://${bucket}/${prefix}?endpoint=${at}&part_size=5${more}`);
      return createS3Store({
        location,
        credentials,
        ...(repeat && { repeat }),
        ...(silenceMs !== undefined && { silenceMs }),
      });
    },
    async close() {
      client.destroy();
      await stop();
    },
  };
}
