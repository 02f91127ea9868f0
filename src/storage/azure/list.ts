import type { BlobItem, ContainerListBlobFlatSegmentResponse } from '@azure/storage-blob';
import { assertPrefix, isKey } from '../../core/object-key.ts';
import type { ObjectInfo } from '../object-store.ts';
import { type Container, request } from './container.ts';
import { notLikeAzure } from './errors.ts';
import { readMetadata } from './names.ts';

/** Every object, page by page; what has a name that no key has is no object. */
export async function* listObjects(
  container: Container,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<ObjectInfo> {
  assertPrefix(prefix);
  for await (const blob of listBlobs(container, prefix, { signal })) {
    if (blob.isPlaceholder || blob.isFolder) continue;
    const { key, size, modifiedAt } = blob;
    if (size === undefined || !modifiedAt)
      throw notLikeAzure(container.name, 'lists objects without size or date');
    yield { key, size, modifiedAt };
  }
}

interface ListedBlob {
  readonly key: string;
  readonly size: number | undefined;
  readonly modifiedAt: Date | undefined;
  readonly etag: string | undefined;
  readonly isPlaceholder: boolean;
  readonly isFolder: boolean;
}

/**
 * Every blob below the store's prefix whose key begins with the text and is one. Pages may be short, or empty, in the middle of a
 * list: only a page without a marker for the next is the last.
 */
export async function* listBlobs(
  container: Container,
  text: string,
  { signal, uncommitted = false }: { readonly signal: AbortSignal; readonly uncommitted?: boolean },
): AsyncGenerator<ListedBlob> {
  const { prefix } = container.location;
  let marker: string | undefined;
  do {
    const ask = () => askForPage(container, prefix + text, { marker, signal, uncommitted });
    // Whoever wraps the store repeats the first page: nothing has been handed out yet.
    const page = marker === undefined ? await ask() : await container.repeat(ask, signal);
    for (const blob of page.segment?.blobItems ?? []) {
      if (typeof blob.name !== 'string') throw notLikeAzure(container.name, 'lists objects without a name');
      const key = blob.name.slice(prefix.length);
      if (blob.name.startsWith(prefix + text) && isKey(key)) yield describe(key, blob);
    }
    const next = page.continuationToken || undefined;
    if (next !== undefined && next === marker)
      throw notLikeAzure(container.name, 'gives the same page of a list again');
    marker = next;
  } while (marker !== undefined);
}

async function askForPage(
  container: Container,
  prefix: string,
  options: { marker: string | undefined; signal: AbortSignal; uncommitted: boolean },
): Promise<ContainerListBlobFlatSegmentResponse> {
  const { marker, signal, uncommitted } = options;
  return request<ContainerListBlobFlatSegmentResponse>(container, { signal }, async (abortSignal) => {
    const pages = container.client
      .listBlobsFlat({
        prefix,
        abortSignal,
        includeMetadata: true,
        includeUncommitedBlobs: uncommitted,
      })
      .byPage({
        maxPageSize: container.pageSize,
        ...(marker === undefined ? {} : { continuationToken: marker }),
      });
    const page = await pages.next();
    if (page.done) throw notLikeAzure(container.name, 'gives no page of a list');
    return page.value;
  });
}

function describe(key: string, { properties, metadata }: BlobItem): ListedBlob {
  const { isPlaceholder, isFolder } = readMetadata(metadata);
  return {
    key,
    size: properties.contentLength,
    modifiedAt: properties.lastModified,
    etag: properties.etag,
    isPlaceholder,
    isFolder,
  };
}
