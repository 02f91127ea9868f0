import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

/**
 * As much of S3 as Forestay uses, in memory: for what no real server at hand can do (conditional writes) or would do wrong
 * (odd pages). It believes every signature.
 */
export interface FakeS3 {
  readonly endpoint: string;
  readonly objects: Map<string, FakeObject>;
  readonly uploads: Map<string, FakeUpload>;
  /** Method, path and headers of everything that was asked. */
  readonly requests: { readonly line: string; readonly headers: IncomingMessage['headers'] }[];
  underWay(): number;
  close(): Promise<void>;
}

export interface FakeS3Options {
  /** `ignored`: as a server that does not know the header. Default: honoured. */
  readonly conditions?: 'honoured' | 'ignored' | 'only for puts';
  /** How pages of lists end. */
  readonly pages?:
    | 'as documented'
    | 'without token'
    | 'full and not truncated'
    | 'empty between'
    | 'always the first';
  readonly pageSize?: number;
  /** Refuses DeleteObjects. */
  readonly noMultiDelete?: boolean;
  /** Part sizes must be equal, but for the last. */
  readonly onPart?: (number: number, bytes: number) => void;
}

interface FakeObject {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly modifiedAt: Date;
  readonly metadata: Record<string, string>;
}

interface FakeUpload {
  readonly name: string;
  readonly initiated: Date;
  readonly metadata: Record<string, string>;
  readonly parts: Map<number, Buffer>;
}

class Refusal extends Error {
  readonly status: number;
  constructor(status: number, code: string) {
    super(code);
    this.status = status;
  }
}

export async function startFakeS3(options: FakeS3Options = {}): Promise<FakeS3> {
  const objects = new Map<string, FakeObject>();
  const uploads = new Map<string, FakeUpload>();
  const requests: FakeS3['requests'] = [];
  let underWay = 0;
  const server = createServer((incoming, outgoing) => {
    underWay += 1;
    outgoing.on('close', () => {
      underWay -= 1;
    });
    requests.push({ line: `${incoming.method} ${incoming.url}`, headers: incoming.headers });
    answer(incoming, outgoing, { objects, uploads, options }).catch((error: unknown) => {
      if (!(error instanceof Refusal)) return outgoing.destroy();
      outgoing
        .writeHead(error.status, { 'content-type': 'application/xml' })
        .end(`<Error><Code>${error.message}</Code><Message>no</Message></Error>`);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('No port.');
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    objects,
    uploads,
    requests,
    underWay: () => underWay,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

interface State {
  readonly objects: Map<string, FakeObject>;
  readonly uploads: Map<string, FakeUpload>;
  readonly options: FakeS3Options;
}

async function answer(incoming: IncomingMessage, outgoing: ServerResponse, state: State): Promise<void> {
  const url = new URL(incoming.url ?? '/', 'http://fake');
  const query = url.searchParams;
  const name = decodeURIComponent(url.pathname).split('/').slice(2).join('/');
  const body = await bodyOf(incoming);
  const md5 = incoming.headers['content-md5'];
  if (md5 && md5 !== createHash('md5').update(body).digest('base64')) throw new Refusal(400, 'BadDigest');
  const xml = (text: string) => outgoing.writeHead(200, { 'content-type': 'application/xml' }).end(text);
  const { objects, uploads, options } = state;
  const refuseIfThere = (what: 'put' | 'upload') => {
    const honoured =
      options.conditions === undefined ||
      options.conditions === 'honoured' ||
      (options.conditions === 'only for puts' && what === 'put');
    if (honoured && incoming.headers['if-none-match'] === '*' && objects.has(name))
      throw new Refusal(412, 'PreconditionFailed');
  };

  switch (
    `${incoming.method} ${['uploads', 'uploadId', 'delete', 'list-type'].find((word) => query.has(word)) ?? ''}`
  ) {
    case 'HEAD ':
    case 'GET ':
      if (name === '') return void outgoing.writeHead(200).end();
      return sendObject(incoming, outgoing, objects.get(name));
    case 'PUT ':
      refuseIfThere('put');
      objects.set(name, objectOf(body, metadataOf(incoming), md5Of(body)));
      return void outgoing.writeHead(200, { etag: `"${md5Of(body)}"` }).end();
    case 'DELETE ':
      objects.delete(name);
      return void outgoing.writeHead(204).end();
    case 'POST delete':
      if (options.noMultiDelete) throw new Refusal(501, 'NotImplemented');
      if (!md5) throw new Refusal(400, 'InvalidRequest');
      for (const [, key = ''] of body.toString().matchAll(/<Key>(.*?)<\/Key>/g)) objects.delete(key);
      return void xml('<DeleteResult></DeleteResult>');
    case 'GET list-type':
      return void xml(listPage(state, query));
    case 'POST uploads': {
      const id = randomUUID();
      uploads.set(id, { name, initiated: new Date(), metadata: metadataOf(incoming), parts: new Map() });
      return void xml(
        `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
      );
    }
    case 'GET uploads': {
      const rows = [...uploads].map(
        ([id, upload]) =>
          `<Upload><Key>${upload.name}</Key><UploadId>${id}</UploadId><Initiated>${upload.initiated.toISOString()}</Initiated></Upload>`,
      );
      return void xml(`<ListMultipartUploadsResult>${rows.join('')}</ListMultipartUploadsResult>`);
    }
  }
  const id = query.get('uploadId') ?? '';
  const upload = uploads.get(id);
  if (!upload) throw new Refusal(404, 'NoSuchUpload');
  switch (incoming.method) {
    case 'PUT':
      upload.parts.set(Number(query.get('partNumber')), body);
      options.onPart?.(Number(query.get('partNumber')), body.length);
      return void outgoing.writeHead(200, { etag: `"${md5Of(body)}"` }).end();
    case 'GET':
      return void xml('<ListPartsResult></ListPartsResult>');
    case 'DELETE':
      uploads.delete(id);
      return void outgoing.writeHead(204).end();
    case 'POST': {
      refuseIfThere('upload');
      const parts = [...upload.parts].sort(([a], [b]) => a - b).map(([, bytes]) => bytes);
      const etag = `${md5Of(Buffer.concat(parts.map((part) => createHash('md5').update(part).digest())))}-${parts.length}`;
      objects.set(name, objectOf(Buffer.concat(parts), upload.metadata, etag));
      uploads.delete(id);
      return void xml(
        `<CompleteMultipartUploadResult><ETag>"${etag}"</ETag></CompleteMultipartUploadResult>`,
      );
    }
  }
  throw new Refusal(405, 'MethodNotAllowed');
}

function sendObject(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  object: FakeObject | undefined,
): void {
  if (!object) throw new Refusal(404, 'NoSuchKey');
  const match = incoming.headers['if-match'];
  if (match !== undefined && match !== `"${object.etag}"`) throw new Refusal(412, 'PreconditionFailed');
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(incoming.headers.range ?? '') ?? [];
  const size = object.bytes.length;
  const start = Number(from ?? 0);
  if (from !== undefined && start >= size) throw new Refusal(416, 'InvalidRange');
  const end = Math.min(size, to ? Number(to) + 1 : size);
  outgoing.writeHead(from === undefined ? 200 : 206, {
    etag: `"${object.etag}"`,
    'last-modified': object.modifiedAt.toUTCString(),
    'content-length': end - start,
    ...(from === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
    ...object.metadata,
  });
  outgoing.end(incoming.method === 'HEAD' ? undefined : object.bytes.subarray(start, end));
}

function listPage({ objects, options }: State, query: URLSearchParams): string {
  const { pages = 'as documented', pageSize = 1000 } = options;
  const token = query.get('continuation-token');
  const [isEmptyTurn, after] = token?.startsWith('empty:')
    ? [true, token.slice(6)]
    : [false, token ?? query.get('start-after') ?? ''];
  const all = [...objects.keys()].filter((key) => key.startsWith(query.get('prefix') ?? '')).sort();
  const rest = pages === 'always the first' ? all : all.filter((key) => key > after);
  const size = Math.min(pageSize, Number(query.get('max-keys') ?? 1000));
  const page = pages === 'empty between' && !isEmptyTurn && token ? [] : rest.slice(0, size);
  const isTruncated = page.length < rest.length;
  const last = page.at(-1) ?? after;
  const next = page.length === 0 ? `empty:${after}` : last;
  const rows = page.map((key) => {
    const { bytes, etag, modifiedAt } = objects.get(key)!;
    return `<Contents><Key>${encodeURIComponent(key)}</Key><LastModified>${modifiedAt.toISOString()}</LastModified><ETag>${etag}</ETag><Size>${bytes.length}</Size></Contents>`;
  });
  const truncation = pages === 'full and not truncated' ? 'false' : String(isTruncated);
  const hasToken = isTruncated && pages !== 'without token' && pages !== 'full and not truncated';
  return `<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>${truncation}</IsTruncated>${rows.join('')}${hasToken ? `<NextContinuationToken>${next}</NextContinuationToken>` : ''}</ListBucketResult>`;
}

function objectOf(bytes: Buffer, metadata: Record<string, string>, etag: string): FakeObject {
  return { bytes, metadata, etag, modifiedAt: new Date() };
}

function metadataOf({ headers }: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      name.startsWith('x-amz-meta-') ? [[name, String(value)]] : [],
    ),
  );
}

function md5Of(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
