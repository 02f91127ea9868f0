import { type Readable, Transform } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Backup, findBackup } from '../db/backups.ts';
import type { Instance } from '../db/instances.ts';
import { type Download, linkDownload, openDownload } from '../operations/download.ts';
import { type ByteRange, parseRange } from './byte-range.ts';
import type { HttpContext } from './context.ts';
import { HttpError } from './errors.ts';
import { requestSignal } from './request-signal.ts';

/** A client that takes no byte for so long has gone, in milliseconds. */
const stalledMs = 5 * 60_000;

/**
 * Sends a backup. It begins at once and goes as fast as the client takes it; when something fails half-way the connection is
 * broken, never ended, so that nobody takes a part for the whole. When the client goes away, the work behind ends.
 */
export async function sendDownload(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  target: { instance: Instance; id: number; form: 'a9s' | 'stored' },
): Promise<FastifyReply> {
  const { instance, id, form } = target;
  context.takeDownloadPlace(reply);
  const range = form === 'stored' ? await wantedRange(context, request, instance, id) : 'whole';
  const signal = requestSignal(reply);
  const wanted = form === 'stored' ? { form, ...(range !== 'whole' && { range }) } : { form };
  const download = await openDownload(context.operations, instance.guid, id, wanted, signal);

  describe(reply, download);
  void reply.type('application/octet-stream').headers({
    'content-disposition': `attachment; filename="${download.fileName.replace(/[^A-Za-z0-9._-]/g, '_')}"`,
    // Whatever is between us and the client must not pack the bytes: their length and digest are told.
    'cache-control': 'no-store, no-transform',
    'accept-ranges': form === 'stored' ? 'bytes' : 'none',
  });
  const length = form === 'stored' ? describeStored(reply, download, range) : undefined;
  reply.raw.setTimeout(stalledMs, () => reply.raw.destroy());

  if (request.method === 'HEAD') {
    download.stream.destroy();
    return reply.send();
  }
  return reply.send(length === undefined ? download.stream : exactly(length, download.stream));
}

/**
 * Sends the client to the store for the stored bytes; false, and nothing sent, where the store gives out no links. Only for who
 * asks for it: docs/decisions/0003-redirects-are-asked-for.md
 */
export async function redirectDownload(
  context: HttpContext,
  reply: FastifyReply,
  target: { instance: Instance; id: number },
): Promise<boolean> {
  const { instance, id } = target;
  const link = await linkDownload(context.operations, instance.guid, id, requestSignal(reply));
  if (!link) return false;
  describe(reply, link);
  // The link is a secret: no cache keeps it, and no page that is opened from it learns it.
  void reply.headers({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
  // Not the reply itself, which is a thenable: whoever awaits it gets nothing.
  void reply.redirect(link.url, 307);
  return true;
}

/** What a client needs to know of the bytes, wherever they come from. */
function describe(reply: FastifyReply, { opensWith, sha256 }: Omit<Download, 'stream'>): void {
  void reply.header('x-forestay-open-with', opensWith.replace(/[^\x20-\x7e]/g, '_'));
  if (sha256 !== undefined) void reply.header('x-forestay-sha256', sha256);
}

async function wantedRange(
  context: HttpContext,
  request: FastifyRequest,
  instance: Instance,
  id: number,
): Promise<ByteRange | 'whole'> {
  const { range, 'if-range': ifRange } = request.headers;
  if (range === undefined) return 'whole';
  const backup = await findBackup(context.operations.db, instance.id, id);
  // What cannot be downloaded is refused by the operation, which says why.
  if (!isStored(backup)) return 'whole';
  if (ifRange !== undefined && ifRange !== etag(backup.sha256)) return 'whole';
  const parsed = parseRange(range, backup.size);
  if (parsed !== 'unsatisfiable') return parsed;
  throw new HttpError(416, 'RangeNotSatisfiable', `The stored backup has ${backup.size} bytes.`, {
    'content-range': `bytes */${backup.size}`,
  });
}

function isStored(backup: Backup | undefined): backup is Backup & { size: number; sha256: string } {
  return backup?.task.status === 'done' && backup.size !== null && backup.sha256 !== null;
}

/** Sets what is known of stored bytes beforehand; the number of bytes that follow. */
function describeStored(
  reply: FastifyReply,
  download: Download,
  range: ByteRange | 'whole',
): number | undefined {
  if (download.sha256 !== undefined) void reply.header('etag', etag(download.sha256));
  if (download.size === undefined) return undefined;
  const length = range === 'whole' ? download.size : range.end - range.start;
  void reply.header('content-length', length);
  if (range !== 'whole') {
    void reply.code(206).header('content-range', `bytes ${range.start}-${range.end - 1}/${download.size}`);
  }
  return length;
}

/** Strong: the same digest is the same bytes. */
function etag(sha256: string): string {
  return `"${sha256}"`;
}

/**
 * Fails unless exactly so many bytes come. A stream that ended early would otherwise leave a kept-alive connection waiting,
 * and the next answer on it would be taken for the rest of this one.
 */
function exactly(length: number, source: Readable): Readable {
  let left = length;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      left -= chunk.length;
      if (left < 0) done(new Error('The download is longer than it was said to be.'));
      else done(null, chunk);
    },
    flush(done) {
      done(left === 0 ? null : new Error('The download ended early.'));
    },
  });
  source.on('error', (error) => counted.destroy(error));
  counted.on('close', () => source.destroy());
  return source.pipe(counted);
}
