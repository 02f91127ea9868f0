import { createHash } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';

/** As far as these steps know it, an HTTP message of the SDK. */
interface Message {
  headers: Record<string, string>;
  body?: unknown;
}

/**
 * DeleteObjects must carry a checksum. The SDK sends a CRC32 in headers that older servers do not know; all of them know
 * Content-MD5.
 */
export function addMd5ToDeletions(client: S3Client): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const request = args.request as Message;
      if (context.commandName === 'DeleteObjectsCommand') {
        for (const name of Object.keys(request.headers)) {
          if (/^x-amz-(checksum-|sdk-checksum-)/i.test(name)) delete request.headers[name];
        }
        request.headers['Content-MD5'] = md5Of(request.body as string | Uint8Array);
      }
      return next(args);
    },
    { step: 'build', priority: 'low', name: 'contentMd5OfDeletions' },
  );
}

/** Every answer has a date, refusals too. */
export function watchClock(client: S3Client, onSkew: (ms: number) => void): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const date = Date.parse((result.response as Message | undefined)?.headers?.date ?? '');
      if (Number.isFinite(date)) onSkew(date - Date.now());
      return result;
    },
    { step: 'deserialize', priority: 'low', name: 'clockWatch' },
  );
}

/** As Content-MD5 wants it (RFC 1864). */
export function md5Of(bytes: string | Uint8Array): string {
  return createHash('md5').update(bytes).digest('base64');
}
