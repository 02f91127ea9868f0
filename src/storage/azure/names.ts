import type { Metadata } from '@azure/storage-blob';

/**
 * Names in the metadata of objects; Azure wants them to be identifiers of C#. `forestayput` says which put made an object.
 */
const putName = 'forestayput';
/** Marks what discards blocks: an empty blob for the moment before it is deleted. It is no object to anybody here. */
const placeholderName = 'forestayplaceholder';

export const putMetadata = (putId: string): Metadata => ({ [putName]: putId });
export const placeholderMetadata: Metadata = { [placeholderName]: 'true' };

/** The service gives the names back as they were, proxies and emulators not always. */
export function readMetadata(metadata: Metadata | undefined): {
  readonly putId: string | undefined;
  readonly isPlaceholder: boolean;
  /** An account with a hierarchical namespace lists its folders, too. */
  readonly isFolder: boolean;
} {
  const values = new Map(Object.entries(metadata ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  return {
    putId: values.get(putName),
    isPlaceholder: values.has(placeholderName),
    isFolder: values.get('hdi_isfolder') === 'true',
  };
}

/** Which put a block is of, and when that began: so that what was left is known by its age. */
export interface BlockOwner {
  readonly putId: string;
  readonly startedAt: Date;
}

/** All blocks of a blob must have ids of one length, whoever made them: this length never changes. */
export function blockId({ putId, startedAt }: BlockOwner, index: number): string {
  const seconds = String(Math.floor(startedAt.getTime() / 1000)).padStart(10, '0');
  return Buffer.from(`${putId}.${seconds}.${String(index).padStart(5, '0')}`).toString('base64');
}

/** Undefined for an id that is not ours. */
export function ownerOf(blockId: string): BlockOwner | undefined {
  const [, putId, seconds] =
    /^([0-9a-f-]{36})\.(\d{10})\.\d{5}$/.exec(Buffer.from(blockId, 'base64').toString('latin1')) ?? [];
  return putId === undefined ? undefined : { putId, startedAt: new Date(Number(seconds) * 1000) };
}
