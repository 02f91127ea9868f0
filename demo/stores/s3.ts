import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import {
  type SwiftServer,
  startSwiftServer,
  swiftMissing,
  swiftPackages,
} from '../../test/support/swift-server.ts';
import { prepareMachine } from '../prepare-machine.ts';
import type { StoreKind } from './layout.ts';

const region = 'us-east-1';
const bucketOfA = 'site-a';
const bucketElsewhere = 'elsewhere';

/**
 * Buckets of a private S3 server (OpenStack Swift). Site A copies its backups to a second bucket; its own bucket burns with it, and
 * site B, whose own bucket the second one is, has that alone.
 */
export const s3Stores: StoreKind = {
  prepareMachine: () =>
    prepareMachine([
      {
        what: 'OpenStack Swift, an S3 server',
        packages: swiftPackages,
        isMet: () => swiftMissing() === undefined,
      },
    ]),
  async open(_folder, stack) {
    const server = await startSwiftServer();
    stack.defer(() => server.stop());
    const client = new S3Client({
      endpoint: server.endpoint,
      credentials: server.credentials,
      region,
      forcePathStyle: true,
      requestChecksumCalculation: 'WHEN_REQUIRED',
    });
    stack.defer(() => client.destroy());
    for (const Bucket of [bucketOfA, bucketElsewhere]) await client.send(new CreateBucketCommand({ Bucket }));
    const url = (bucket: string) =>
      `s3://${bucket}/backups?endpoint=${server.endpoint}&region=${region}&path_style=true`;
    return {
      a: { primary: url(bucketOfA), secondary: url(bucketElsewhere) },
      b: { primary: url(bucketElsewhere) },
      env: credentialsOf(server),
      place: `the bucket ${bucketOfA} of an S3 server, with copies in the bucket ${bucketElsewhere}`,
      shared: `All it has of A are the copies in the bucket ${bucketElsewhere}, which tell nothing without your key.`,
      async burn() {
        const objects = await emptyBucket(client, bucketOfA);
        await client.send(new DeleteBucketCommand({ Bucket: bucketOfA }));
        return `the bucket ${bucketOfA} with its ${objects} objects`;
      },
    };
  },
};

function credentialsOf({ credentials }: SwiftServer) {
  return {
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
}

async function emptyBucket(client: S3Client, Bucket: string): Promise<number> {
  for (let removed = 0; ; ) {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket }));
    if (Contents.length === 0) return removed;
    for (const { Key } of Contents) await client.send(new DeleteObjectCommand({ Bucket, Key }));
    removed += Contents.length;
  }
}
