import { BlobSASPermissions, SASProtocol } from '@azure/storage-blob';
import { ForestayError } from '../../core/errors.ts';
import { assertKey, isSegment } from '../../core/object-key.ts';
import type { PresignOptions } from '../object-store.ts';
import { blobOf, type Container } from './container.ts';
import { storeError } from './errors.ts';

/** A URL with a service signature for reading one blob, signed with the account key. */
export async function presign(
  container: Container,
  key: string,
  { ttlSeconds, fileName }: PresignOptions,
): Promise<string> {
  assertKey(key);
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > 604_800)
    throw new ForestayError('BadRequest', 'A presigned URL lives for 1 to 604800 whole seconds.');
  if (fileName !== undefined && !isSegment(fileName))
    throw new ForestayError('BadRequest', 'Not a name of a file for a download.');
  // Signatures know whole seconds. They end by the clock of the server.
  const expiresMs = Math.ceil((Date.now() + container.clock.skewMs) / 1000 + ttlSeconds) * 1000;
  try {
    return await blobOf(container, key).generateSasUrl({
      permissions: BlobSASPermissions.parse('r'),
      expiresOn: new Date(expiresMs),
      protocol: container.endpoint.startsWith('https:') ? SASProtocol.Https : SASProtocol.HttpsAndHttp,
      ...(fileName === undefined ? {} : { contentDisposition: `attachment; filename="${fileName}"` }),
    });
  } catch (error) {
    throw storeError(container.name, error);
  }
}
