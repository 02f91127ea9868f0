import type { Readable } from 'node:stream';

/**
 * The object store port: where backups lie. A store knows bytes under keys and nothing of backups. Adapters are naive:
 * they neither retry nor log. They translate every foreign error into one of
 * `ObjectMissing`, `ObjectExists`, `StoreDenied`, `StoreFull`, `StoreUnavailable`, `StoreTimeout`, `BackupDamaged`.
 *
 * Keys are as `core/object-key.ts` says; an adapter refuses any other (`BadRequest`), and none lies below another (`a` and
 * `a/b`), because the store that is a folder could not hold both.
 */
export interface ObjectStore {
  /** For people: where it is, without credentials. */
  readonly name: string;

  /**
   * Stores a stream of unknown length under a key: wholly and durably, or not at all. Nothing is visible under the key
   * before everything is; when the source fails or the signal aborts, nothing remains. Replaces what lies there, unless
   * `ifAbsent`: then it throws `ObjectExists` and changes nothing. Memory is bounded. Always ends its source; rejects with
   * the source's own error, or the signal's reason. The source must not reuse a chunk it has yielded. Resolves with the size in bytes.
   */
  put(key: string, source: AsyncIterable<Uint8Array>, options: PutOptions): Promise<{ size: number }>;

  /** The bytes of an object, or of a range of it. Throws `ObjectMissing`. Destroying the stream frees everything. */
  get(key: string, options: GetOptions): Promise<Readable>;

  /** What is known of an object, undefined when there is none. */
  head(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined>;

  /** Every object whose key starts with the prefix, however many there are, in no particular order. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo>;

  /** Removes objects; those that are not there are no error. */
  delete(keys: readonly string[], signal: AbortSignal): Promise<void>;

  /**
   * Removes what interrupted puts left, invisible as it is; resolves with how many. Several sites may use one store: what was put
   * under a key that is not ours stays, however old, and so does what a put of this process is still at.
   */
  removeAbandonedPuts?(options: AbandonedPutsOptions): Promise<number>;

  /**
   * A URL at which anybody may get the object for a while, ranges included, without asking this service. Whether there is such
   * an object is not looked at. The URL is a secret until it expires: it belongs in no log.
   */
  presign?(key: string, options: PresignOptions): Promise<string>;
}

export interface PresignOptions {
  /** Whole seconds, 1 to 604,800 (a week). */
  readonly ttlSeconds: number;
  /** What browsers save it as: letters, digits, ".", "_" and "-". */
  readonly fileName?: string;
}

export interface PutOptions {
  readonly signal: AbortSignal;
  readonly ifAbsent?: boolean;
}

export interface GetOptions {
  readonly signal: AbortSignal;
  /** First byte, and the one after the last. What lies beyond the object is left out, so a range may turn out empty. */
  readonly range?: { readonly start: number; readonly end: number };
}

export interface AbandonedPutsOptions {
  readonly signal: AbortSignal;
  /** Only what began earlier, or (where that is what can be known) was last written to earlier. */
  readonly before: Date;
  /** Whether the put of this key was one of ours. */
  readonly isOurs: (key: string) => boolean;
}

export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly modifiedAt: Date;
}
