import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import type { Repeat } from '../../../src/core/repeat.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import type { S3StoreOptions } from '../../../src/storage/s3/bucket.ts';
import { parseS3Location } from '../../../src/storage/s3/location.ts';
import { createS3Store } from '../../../src/storage/s3/store.ts';
import { startSwiftServer } from '../../support/swift-server.ts';

export const bucket = 'forestay-test';

export interface TestStoreOptions {
  readonly prefix?: string;
  /** More of the URL: `&presign=true`. */
  readonly more?: string;
  readonly repeat?: Repeat;
  readonly silenceMs?: number;
  readonly completeMs?: number;
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** Parts of 5 MiB, the least there is. */
export function storeOptions(endpoint: string, options: TestStoreOptions = {}): S3StoreOptions {
  const { prefix = 'site', more = '', ...others } = options;
  const location = parseS3Location(
    `s3://${bucket}/${prefix}?endpoint=${encodeURIComponent(endpoint)}&part_size=5${more}`,
  );
  return { location, credentials: { accessKeyId: 'key', secretAccessKey: 'secret' }, ...others };
}

export function storeAt(endpoint: string, options: TestStoreOptions = {}): ObjectStore {
  return createS3Store(storeOptions(endpoint, options));
}

/** A real server with the bucket, and a client that is not ours. */
export interface SwiftWithBucket {
  readonly endpoint: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly client: S3Client;
  /** Multipart uploads that are under way, or were left. */
  uploads(): Promise<string[]>;
  /** Keys below the prefix that are listed and not there. */
  listFalsely(keys: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

export async function startSwiftWithBucket(): Promise<SwiftWithBucket> {
  const { endpoint, credentials, listFalsely, stop } = await startSwiftServer();
  const client = new S3Client({
    endpoint,
    credentials,
    region: 'us-east-1',
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });
  const close = async () => {
    client.destroy();
    await stop();
  };
  try {
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    endpoint,
    credentials,
    client,
    async uploads() {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      return Uploads.map(({ Key, UploadId }) => `${Key} ${UploadId}`);
    },
    listFalsely: (keys) =>
      listFalsely(
        bucket,
        keys.map((key) => `site/${key}`),
      ),
    close,
  };
}
