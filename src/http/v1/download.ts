import { type Static, Type } from 'typebox';
import { ForestayError } from '../../core/errors.ts';
import { instanceOf } from '../access.ts';
import type { App, HttpContext } from '../context.ts';
import { binaryAnswer, errors, redirectAnswer } from '../documented.ts';
import { redirectDownload, sendDownload } from '../download.ts';
import { HttpError } from '../errors.ts';
import { parseId } from '../numbers.ts';
import { InstanceAndId } from '../schemas.ts';

export const DownloadQuery = Type.Object({
  format: Type.Optional(
    Type.Enum(['a9s', 'stored'], {
      type: 'string',
      description:
        '`a9s`, the default: opens with `openssl enc -aes256 -md md5 -d | gunzip`. `stored`: the bytes as they lie in the ' +
        'store, resumable, with their digest as ETag; opens with the command in `X-Forestay-Open-With`.',
    }),
  ),
  redirect: Type.Optional(
    Type.Enum(['true', 'false'], {
      type: 'string',
      description:
        '`true`, with `format=stored`: the answer may be a redirect to the store, by a link that expires after 15 minutes. The ' +
        'client must compare the SHA-256 of what it gets with `X-Forestay-Sha256`, and must not send its `Authorization` there.',
    }),
  ),
});
export type DownloadQuery = Static<typeof DownloadQuery>;

const headers = Type.Object({
  range: Type.Optional(
    Type.String({ description: 'One range of bytes, with `format=stored`.', examples: ['bytes=1048576-'] }),
  ),
  'if-range': Type.Optional(Type.String({ description: 'The ETag of the bytes that are there already.' })),
});

export function downloadRoutes(app: App, context: HttpContext): void {
  const url = '/v1/instances/:guid/backups/:id/download';
  const schema = {
    tags: ['Backups'],
    params: InstanceAndId('backup'),
    querystring: DownloadQuery,
    headers,
    response: {
      200: binaryAnswer,
      307: redirectAnswer,
      206: { ...binaryAnswer, description: 'The range that was asked for.' },
      ...errors(412, 416, 502, 504),
    },
  };
  app.route({
    method: ['GET', 'HEAD'],
    url,
    // HEAD is answered by the same handler: made by Fastify, it would open the backup and read it through.
    exposeHeadRoute: false,
    config: { action: 'backup.download' },
    schema: { ...schema, summary: 'Download a backup' },
    handler: async (request, reply) => {
      const instance = await instanceOf(context, request);
      const id = parseId((request.params as { id: string }).id);
      if (id === undefined)
        throw new ForestayError('BackupNotFound', 'There is no such backup of this instance.');
      const { format = 'a9s', redirect = 'false' } = request.query as DownloadQuery;
      if (format !== 'a9s' && format !== 'stored') {
        throw new HttpError(400, 'BadRequest', 'format must be "a9s" or "stored".');
      }
      if ((redirect !== 'true' && redirect !== 'false') || (redirect === 'true' && format !== 'stored')) {
        throw new HttpError(
          400,
          'BadRequest',
          'redirect must be "true" or "false", and goes with format=stored.',
        );
      }
      // A link is for GET: it is signed.
      if (redirect === 'true' && request.method === 'GET') {
        if (await redirectDownload(context, reply, { instance, id })) return reply;
      }
      return sendDownload(context, request, reply, { instance, id, form: format });
    },
  });
}
