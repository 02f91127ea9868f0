import { ForestayError } from '../../core/errors.ts';
import { isKey } from '../../core/object-key.ts';

/** A bucket, how it is reached, and how it is used: everything the URL of a store says. */
export interface S3Location {
  readonly bucket: string;
  /** Empty, or ends with a slash. Everything below it belongs to the store. */
  readonly prefix: string;
  /** Undefined: that of Amazon S3 in the region. */
  readonly endpoint: string | undefined;
  readonly region: string;
  readonly pathStyle: boolean;
  /** A file of PEM certificates that are trusted beside the usual ones. */
  readonly caFile: string | undefined;
  /** Bytes of one part of a multipart upload; a store takes 10,000 of them for one object. */
  readonly partBytes: number;
  /** Parts of one object under way at a time. */
  readonly parallel: number;
  /** Sent with every upload for the server to check, beside the MD5 that always is. */
  readonly checksum: 'none' | 'crc32' | 'sha256';
  /** `md5`: the ETag of a part is compared with its MD5. `opaque`: the server's ETags mean nothing. */
  readonly etag: 'md5' | 'opaque';
  /** Whether users may be sent to the bucket: they must be able to reach its endpoint. */
  readonly presign: boolean;
}

const optionNames = [
  ...['endpoint', 'region', 'path_style', 'ca_file', 'part_size', 'parallel', 'checksum', 'etag', 'presign'],
] as const;
type Option = (typeof optionNames)[number];

const MiB = 1024 * 1024;
/** Names of the strict rules, and the older ones with capitals and underscores that other servers still have. */
const bucketPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/;

/**
 * Reads `s3://bucket/prefix?endpoint=https://s3.example.org&region=eu-1&path_style=true`. Throws `Misconfigured` with a
 * sentence about what is wrong; the URL itself is not repeated, since somebody may have written credentials into it.
 */
export function parseS3Location(text: string): S3Location {
  const url = URL.parse(text);
  if (url?.protocol !== 's3:')
    throw misconfigured('The URL of an S3 store cannot be read.', 'Example: s3://bucket/prefix');
  if (url.username !== '' || url.password !== '') {
    throw misconfigured(
      'The URL of an S3 store holds credentials.',
      'Remove them from the URL and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
    );
  }
  if (url.port !== '' || url.hash !== '') {
    throw misconfigured(
      'The URL of an S3 store has a port or a #.',
      'The host of the URL is the bucket; a server is named with ?endpoint=https://host:port',
    );
  }
  const options = readOptions(url.searchParams);
  const endpoint = readEndpoint(options.endpoint);
  return Object.freeze({
    bucket: readBucket(url.hostname),
    prefix: readPrefix(text),
    endpoint,
    region: readRegion(options.region, endpoint),
    // Hardly any server beside Amazon's has a DNS name for each bucket.
    pathStyle: readFlag('path_style', options.path_style, endpoint !== undefined),
    caFile: readCaFile(options.ca_file, endpoint),
    partBytes: readNumber('part_size', options.part_size, 16, 5, 5120, ' MiB') * MiB,
    parallel: readNumber('parallel', options.parallel, 5, 1, 32, ''),
    checksum: readChoice('checksum', options.checksum, ['none', 'crc32', 'sha256']),
    etag: readChoice('etag', options.etag, ['md5', 'opaque']),
    presign: readFlag('presign', options.presign, false),
  });
}

/** The same for the same place. Buckets of Amazon have one name in all the world; of other servers the endpoint counts. */
export function s3PlaceOf({ endpoint, bucket, prefix }: S3Location): string {
  return `s3 ${endpoint ?? ''} ${bucket}/${prefix}`;
}

function readOptions(query: URLSearchParams): Partial<Record<Option, string>> {
  const options: Partial<Record<Option, string>> = {};
  for (const [name, value] of query) {
    const option = optionNames.find((known) => known === name);
    if (!option) {
      throw misconfigured(
        `An S3 store has no option "${name.slice(0, 40)}".`,
        `It has: ${optionNames.join(', ')}.`,
      );
    }
    if (options[option] !== undefined)
      throw misconfigured(`The option ${option} is given twice.`, 'Keep one of them.');
    options[option] = value;
  }
  return options;
}

function readBucket(bucket: string): string {
  if (bucket === '')
    throw misconfigured('The URL of an S3 store names no bucket.', 'Example: s3://bucket/prefix');
  if (!bucketPattern.test(bucket)) {
    throw misconfigured(
      `"${bucket.slice(0, 80)}" cannot be the name of a bucket.`,
      'It has 3 to 63 letters, digits, dots and hyphens.',
    );
  }
  return bucket;
}

/** From the text, because URL.parse resolves `..` away: what the operator wrote would then be something else. */
function readPrefix(text: string): string {
  const prefix = /^s3:\/\/[^/?#]*\/?([^?#]*)/i.exec(text)?.[1]?.replace(/\/$/, '') ?? '';
  if (prefix === '') return '';
  if (!isKey(prefix) || prefix.length > 400) {
    throw misconfigured(
      `"${prefix.slice(0, 80)}" cannot be the prefix of a store.`,
      'It is a path of letters, digits, ".", "_" and "-", without "..", without empty parts and not longer than 400; no part begins with a dot.',
    );
  }
  return `${prefix}/`;
}

function readEndpoint(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.hostname === '') {
    throw misconfigured(
      'The endpoint of an S3 store is not an http(s) URL.',
      'Write the scheme too: endpoint=https://s3.example.org or endpoint=http://127.0.0.1:9000',
    );
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw misconfigured(
      'The endpoint of an S3 store has more than a host, a port and a path.',
      'Credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
    );
  }
  return url.href.replace(/\/$/, '');
}

function readRegion(text: string | undefined, endpoint: string | undefined): string {
  if (text === undefined && endpoint === undefined) {
    throw misconfigured(
      'The URL of an S3 store names neither a region nor an endpoint.',
      'Amazon S3 needs the region of the bucket, for example region=eu-central-1; other servers need endpoint=https://…',
    );
  }
  const region = text ?? 'us-east-1';
  if (!/^[A-Za-z0-9-]{1,40}$/.test(region))
    throw misconfigured(`"${region.slice(0, 40)}" is not a region.`, 'Example: region=eu-central-1');
  return region;
}

function readCaFile(text: string | undefined, endpoint: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (!text.startsWith('/'))
    throw misconfigured('ca_file is not an absolute path.', 'Example: ca_file=/etc/ssl/internal-ca.pem');
  if (endpoint?.startsWith('http:')) {
    throw misconfigured(
      'ca_file is given for an endpoint that is http, where no certificate is shown.',
      'Remove ca_file, or write endpoint=https://…',
    );
  }
  return text;
}

function readFlag(name: Option, text: string | undefined, fallback: boolean): boolean {
  if (text === undefined) return fallback;
  if (text === 'true' || text === 'false') return text === 'true';
  throw misconfigured(`The option ${name} is "${text.slice(0, 40)}".`, 'It must be true or false.');
}

function readNumber(
  name: Option,
  text: string | undefined,
  fallback: number,
  min: number,
  max: number,
  unit: string,
): number {
  if (text === undefined) return fallback;
  const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw misconfigured(
    `The option ${name} is "${text.slice(0, 40)}".`,
    `It must be a whole number from ${min} to ${max}${unit}.`,
  );
}

function readChoice<T extends string>(
  name: Option,
  text: string | undefined,
  choices: readonly [T, ...T[]],
): T {
  if (text === undefined) return choices[0];
  const choice = choices.find((known) => known === text);
  if (choice !== undefined) return choice;
  throw misconfigured(
    `The option ${name} is "${text.slice(0, 40)}".`,
    `It must be one of ${choices.join(', ')}.`,
  );
}

function misconfigured(message: string, hint: string): ForestayError {
  return new ForestayError('Misconfigured', message, {
    hint: `${hint} docs/stores/s3.md describes the URL.`,
  });
}
