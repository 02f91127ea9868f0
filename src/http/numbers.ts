import { HttpError } from './errors.ts';

const maxInt4 = 2_147_483_647;

/** An internal id from a path or a body, a number or its digits; undefined for what cannot be one. */
export function parseId(value: unknown): number | undefined {
  const id = typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : value;
  return typeof id === 'number' && Number.isInteger(id) && id >= 1 && id <= maxInt4 ? id : undefined;
}

/** `limit` and `cursor` of a list. The cursor is the id that the page before ended with. */
export function parsePage(query: { limit?: unknown; cursor?: unknown }): {
  limit?: number;
  beforeId?: number;
} {
  const limit = parseId(query.limit);
  if (query.limit !== undefined && (limit === undefined || limit > 1000)) {
    throw new HttpError(400, 'BadRequest', 'limit must be a whole number from 1 to 1000.');
  }
  const beforeId = parseId(query.cursor);
  if (query.cursor !== undefined && beforeId === undefined) {
    throw new HttpError(400, 'BadRequest', 'cursor is none that a Link header gave.');
  }
  return { ...(limit !== undefined && { limit }), ...(beforeId !== undefined && { beforeId }) };
}
