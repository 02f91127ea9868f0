import { ForestayError } from '../../core/errors.ts';
import type { Part } from '../../pipeline/parts.ts';
import { blobOf, type Container, request } from './container.ts';
import { isTaken, objectExists } from './errors.ts';
import { byServerCode } from './meanings.ts';
import { putMetadata } from './names.ts';

export interface WholeObject {
  readonly key: string;
  readonly putId: string;
  readonly part: Part;
  /** Have the server refuse to replace an object. */
  readonly ifNoneMatch: boolean;
}

/** An object in one request. Throws `ObjectExists` where the server refuses to replace one. */
export async function putWhole(
  container: Container,
  { part: { bytes, md5 }, key, putId, ifNoneMatch }: WholeObject,
  signal: AbortSignal,
): Promise<void> {
  const answer = await request(
    container,
    { signal, bytes: bytes.length },
    (abortSignal) =>
      blobOf(container, key).upload(bytes, bytes.length, {
        abortSignal,
        transactionalContentMD5: md5,
        metadata: putMetadata(putId),
        conditions: ifNoneMatch ? { ifNoneMatch: '*' } : {},
      }),
    (error) => {
      if (ifNoneMatch && isTaken(error)) throw objectExists(key);
      return undefined;
    },
  );
  assertReceived(container, md5, answer.contentMD5);
}

/** The server checks the MD5 (RFC 1864) that it is sent; the one that it then says it has is compared too. */
export function assertReceived(container: Container, md5: Buffer, answered: Uint8Array | undefined): void {
  if (answered === undefined || md5.equals(answered)) return;
  const { code, says, hint } = byServerCode.Md5Mismatch!;
  throw new ForestayError(code, `The store ${container.name} ${says}: its MD5 is another.`, { hint });
}
