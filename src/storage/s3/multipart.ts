import {
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListPartsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { ForestayError } from '../../core/errors.ts';
import { withGrace } from '../../pipeline/grace.ts';
import type { Part } from '../../pipeline/parts.ts';
import { abortUpload } from './abandoned.ts';
import { type Bucket, request } from './bucket.ts';
import { notLikeS3, objectExists, statusOf } from './errors.ts';
import { graceMs } from './finish.ts';
import { byServerCode } from './meanings.ts';
import { assertEtag, assertReceived, checksumOf } from './put-request.ts';
import { putIdName } from './read.ts';

/** What S3 takes; some servers take fewer and say so. */
const maxParts = 10_000;
/** Milliseconds for all the tidying up after a failure, so that a dead server does not hold up an abort. */
const discardMs = 10_000;

/** A multipart upload under way. */
export interface Upload {
  /** Sends the next part; several may be under way, they are numbered in the order of the calls. */
  send(part: Pick<Part, 'bytes' | 'md5'>, signal: AbortSignal): Promise<void>;
  /** Makes the object visible. Throws `ObjectExists` where the server refuses to replace one. */
  complete(ifNoneMatch: boolean, signal: AbortSignal): Promise<void>;
  /** Removes what was sent. Never rejects: what it could not remove, `removeAbandonedPuts` finds. No part may be under way. */
  discard(): Promise<void>;
  /** To be called last: the upload is nobody's any more. */
  end(): void;
}

export async function startUpload(
  bucket: Bucket,
  key: string,
  putId: string,
  signal: AbortSignal,
): Promise<Upload> {
  const target = { Bucket: bucket.location.bucket, Key: bucket.location.prefix + key };
  const UploadId = await createUpload(bucket, target, putId, signal);
  bucket.uploads.add(UploadId);
  const parts: CompletedPart[] = [];
  let numbered = 0;
  return {
    async send({ bytes, md5 }, signal) {
      numbered += 1;
      const PartNumber = numbered;
      if (PartNumber > maxParts) throw tooLarge(bucket);
      const sendPart = async () => {
        const command = new UploadPartCommand({
          ...target,
          UploadId,
          PartNumber,
          Body: bytes,
          ContentLength: bytes.length,
          ContentMD5: md5.toString('base64'),
          ...checksumOf(bucket.location),
        });
        const answer = await request(bucket, { signal, bytes: bytes.length }, (abortSignal) =>
          bucket.client.send(command, { abortSignal }),
        );
        assertReceived(bucket, md5, answer);
        const { ETag, ChecksumCRC32, ChecksumSHA256 } = answer;
        assertEtag(bucket, ETag);
        return {
          PartNumber,
          ETag,
          ...(ChecksumCRC32 ? { ChecksumCRC32 } : {}),
          ...(ChecksumSHA256 ? { ChecksumSHA256 } : {}),
        };
      };
      parts[PartNumber - 1] = await bucket.repeat(sendPart, signal);
    },
    async complete(ifNoneMatch, signal) {
      const command = new CompleteMultipartUploadCommand({
        ...target,
        UploadId,
        MultipartUpload: { Parts: parts },
        ...(ifNoneMatch ? { IfNoneMatch: '*' } : {}),
      });
      const answer = await request(
        bucket,
        { signal, limitMs: Math.max(bucket.completeMs, bucket.silenceMs) },
        (abortSignal) => bucket.client.send(command, { abortSignal }),
        (error) => {
          if (ifNoneMatch && statusOf(error) === 412) throw objectExists(key);
          return undefined;
        },
      );
      assertEtag(bucket, answer.ETag);
    },
    async discard() {
      await discardUpload(bucket, { ...target, UploadId }, AbortSignal.timeout(discardMs)).catch(() => {});
    },
    end() {
      bucket.uploads.delete(UploadId);
    },
  };
}

/** An abort does not end this request at once: nobody would know the id of the upload that was made. */
async function createUpload(
  bucket: Bucket,
  target: { Bucket: string; Key: string },
  putId: string,
  signal: AbortSignal,
): Promise<string> {
  using grace = withGrace(signal, graceMs);
  const create = async () => {
    const command = new CreateMultipartUploadCommand({
      ...target,
      Metadata: { [putIdName]: putId },
      ...checksumOf(bucket.location),
    });
    const { UploadId } = await request(bucket, { signal: grace.signal }, (abortSignal) =>
      bucket.client.send(command, { abortSignal }),
    );
    if (!UploadId) throw notLikeS3(bucket.name, 'gives no id for an upload');
    return UploadId;
  };
  return bucket.repeat(create, signal);
}

/** A part that was on its way may arrive after the abort and stay, says the documentation of S3: so it is looked again. */
async function discardUpload(
  bucket: Bucket,
  upload: { Bucket: string; Key: string; UploadId: string },
  signal: AbortSignal,
): Promise<void> {
  for (let look = 0; look < 3; look++) {
    await bucket.repeat(() => abortUpload(bucket, upload.Key, upload.UploadId, signal), signal);
    const found = await request(
      bucket,
      { signal },
      (abortSignal) => bucket.client.send(new ListPartsCommand(upload), { abortSignal }).then(() => 'there'),
      (error) => (statusOf(error) === undefined ? undefined : 'gone'),
    );
    if (found === 'gone') return;
  }
}

function tooLarge(bucket: Bucket): ForestayError {
  const { code, says, hint } = byServerCode.EntityTooLarge!;
  const gib = (bucket.location.partBytes * maxParts) / 1024 ** 3;
  return new ForestayError(
    code,
    `The store ${bucket.name} ${says}: with its parts an object has at most ${gib.toFixed(0)} GiB.`,
    { hint },
  );
}
