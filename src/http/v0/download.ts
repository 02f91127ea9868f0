import { hasCode } from '../../core/errors.ts';
import { instanceOf } from '../access.ts';
import type { App, HttpContext } from '../context.ts';
import { binaryAnswer, v0Errors } from '../documented.ts';
import { sendDownload } from '../download.ts';
import { parseId } from '../numbers.ts';
import { InstanceAndId } from '../schemas.ts';
import { describe, precondition } from './backups.ts';

/** The table of the specification says POST, its call sends GET: both. */
export function v0DownloadRoutes(app: App, context: HttpContext): void {
  const route = (method: 'GET' | 'HEAD' | 'POST') =>
    app.route({
      method,
      url: '/service-instances/:guid/backups/:id/download',
      exposeHeadRoute: false,
      config: { action: 'backup.download' },
      schema: {
        ...{ tags: ['V0 (deprecated)'], summary: 'Download a backup', params: InstanceAndId('backup') },
        response: { 200: binaryAnswer, ...v0Errors(412, 502, 504) },
      },
      handler: async (request, reply) => {
        const instance = await instanceOf(context, request);
        const id = parseId((request.params as { id: string }).id);
        if (id === undefined) throw precondition('There is no such backup of this instance.');
        try {
          return await sendDownload(context, request, reply, { instance, id, form: 'a9s' });
        } catch (error) {
          if (hasCode(error, 'BackupNotFound', 'BackupNotDownloadable')) throw precondition(describe(error));
          throw error;
        }
      },
    });
  route('GET');
  route('HEAD');
  route('POST');
}
