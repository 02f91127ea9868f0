import type { FastifyReply, FastifyRequest } from 'fastify';
import type { HttpContext } from './context.ts';
import { parsePage } from './numbers.ts';

/**
 * A list, newest first: whole, or a page where the query asks for one. One more than asked for is read, to know whether
 * a `Link` to the next page belongs into the answer.
 */
export async function answerPage<Item extends { id: number }>(
  request: FastifyRequest,
  reply: FastifyReply,
  context: HttpContext,
  read: (page: { limit?: number | undefined; beforeId?: number | undefined }) => Promise<Item[]>,
): Promise<Item[]> {
  const { limit, beforeId } = parsePage(request.query as Record<string, unknown>);
  if (limit === undefined) return read({ beforeId });
  const items = await read({ limit: limit + 1, beforeId });
  if (items.length <= limit) return items;
  const page = items.slice(0, limit);
  const address = `${context.publicUrl}${request.url.split('?')[0]}?limit=${limit}&cursor=${page.at(-1)!.id}`;
  void reply.header('link', `<${address}>; rel="next"`);
  return page;
}
