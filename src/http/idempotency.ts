import { createHmac } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { canonicalJson } from '../core/manifest.ts';
import type { Context } from '../operations/context.ts';
import { onlyOnce } from '../operations/only-once.ts';
import { principalOf } from './access.ts';
import type { HttpContext } from './context.ts';
import { HttpError } from './errors.ts';

/** Runs what creates something, once for an `Idempotency-Key` where the request has one. `run` gives the body to answer. */
export async function idempotently<Body>(
  { operations }: HttpContext,
  request: FastifyRequest,
  run: (operations: Context) => Promise<Body>,
): Promise<Body> {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return run(operations);
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new HttpError(400, 'BadRequest', 'Idempotency-Key must be 1 to 255 visible ASCII characters.');
  }
  const path = request.url.split('?')[0];
  const scope = `${principalOf(request).id} ${request.method} ${path}`;
  // Keyed, because a body may hold an encryption key, and a plain hash would confirm guesses of it.
  const requestHash = createHmac('sha256', operations.masterKey).update(canonicalJson(request.body)).digest();
  return onlyOnce(operations, { scope, key, requestHash }, run);
}
