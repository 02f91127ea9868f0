import { type ChecksumAlgorithm, PutObjectCommand } from '@aws-sdk/client-s3';
import { ForestayError } from '../../core/errors.ts';
import type { Part } from '../../pipeline/parts.ts';
import { type Bucket, request } from './bucket.ts';
import { notLikeS3, objectExists, statusOf } from './errors.ts';
import type { S3Location } from './location.ts';
import { byServerCode } from './meanings.ts';
import { putIdName } from './read.ts';

export interface WholeObject {
  readonly key: string;
  readonly putId: string;
  readonly part: Part;
  /** Have the server refuse to replace an object; it must be known to understand that. */
  readonly ifNoneMatch: boolean;
}

/** An object in one request. Throws `ObjectExists` where the server refuses to replace one. */
export async function putWhole(bucket: Bucket, object: WholeObject, signal: AbortSignal): Promise<void> {
  const { key, putId, ifNoneMatch } = object;
  const { bytes, md5 } = object.part;
  const command = new PutObjectCommand({
    Bucket: bucket.location.bucket,
    Key: bucket.location.prefix + key,
    Body: bytes,
    ContentLength: bytes.length,
    ContentMD5: md5.toString('base64'),
    Metadata: { [putIdName]: putId },
    ...checksumOf(bucket.location),
    ...(ifNoneMatch ? { IfNoneMatch: '*' } : {}),
  });
  const answer = await request(
    bucket,
    { signal, bytes: bytes.length },
    (abortSignal) => bucket.client.send(command, { abortSignal }),
    (error) => {
      if (ifNoneMatch && statusOf(error) === 412) throw objectExists(key);
      return undefined;
    },
  );
  assertReceived(bucket, md5, answer);
}

/**
 * The answer to what makes something appear always has an ETag. A gateway that says 200 to everything, and stores nothing, must
 * not be believed.
 */
export function assertEtag(bucket: Bucket, etag: string | undefined): asserts etag is string {
  if (!etag) throw notLikeS3(bucket.name, 'confirms nothing: its answer has no ETag');
}

export function checksumOf({ checksum }: S3Location): { ChecksumAlgorithm?: ChecksumAlgorithm } {
  if (checksum === 'none') return {};
  return { ChecksumAlgorithm: checksum === 'crc32' ? 'CRC32' : 'SHA256' };
}

/**
 * Servers check the MD5 and the signature, which covers a SHA-256 of the body. What they then say they have is compared too,
 * where the ETag is an MD5 (RFC 1321), as it is of everything that is not encrypted with a key of the customer.
 */
export function assertReceived(
  bucket: Bucket,
  md5: Buffer,
  answer: {
    readonly ETag?: string | undefined;
    readonly ServerSideEncryption?: string | undefined;
    readonly SSECustomerAlgorithm?: string | undefined;
  },
): void {
  assertEtag(bucket, answer.ETag);
  if (bucket.location.etag === 'opaque' || answer.SSECustomerAlgorithm) return;
  if (answer.ServerSideEncryption?.startsWith('aws:kms')) return;
  const etag = answer.ETag.replaceAll('"', '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(etag) || etag === md5.toString('hex')) return;
  const { code, says } = byServerCode.BadDigest!;
  throw new ForestayError(code, `The store ${bucket.name} ${says}: its ETag is not the MD5.`, {
    hint: 'It is tried again by itself. If it stays so and the ETags of this server are no MD5, add etag=opaque to the URL of the store.',
  });
}
