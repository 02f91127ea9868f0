import { type TSchema, Type } from 'typebox';
import type { ErrorBody } from './schemas.ts';

/** Pieces of route schemas that document answers. Ours are the only source of the OpenAPI document. */

const reasons = {
  400: 'The request is malformed: not JSON, a field missing or of the wrong type.',
  401: 'The user does not have valid authentication credentials for the target resource.',
  403: 'The user does not have the required right to do this request.',
  404: 'Entity not found.',
  409: 'Something that is going on, or was done already, is in the way.',
  412: 'The backup cannot be downloaded, or not in this form; the description says why.',
  413: 'The body of the request is larger than 1 MiB.',
  415: 'The body of the request is not JSON.',
  416: 'The stored backup has no such range.',
  422: 'Understood, and cannot be done; the description says why.',
  429: 'Too many wrong credentials or keys, unfinished backups, or downloads at once; try again later.',
  500: 'An unexpected error occurred while handling the request.',
  502: 'An error occurred during upstream communication.',
  504: 'A timeout occurred during upstream communication.',
} as const;
type ErrorStatus = keyof typeof reasons;

/** What every route that asks for a credential may answer, and what it may answer besides. */
export function errors(...more: ErrorStatus[]) {
  return answers<ErrorBody>('Error#', [400, 401, 403, 404, 429, 500, ...more]);
}
/** The same for routes with a body. */
export function bodyErrors(...more: ErrorStatus[]) {
  return errors(413, 415, ...more);
}
export function v0Errors(...more: ErrorStatus[]) {
  return answers<{ msg: string }>('V0Error#', [400, 401, 403, 404, 413, 415, 429, 500, ...more]);
}

function answers<Body>($ref: string, statuses: ErrorStatus[]) {
  return Object.fromEntries(
    statuses.map((status) => [status, Type.Unsafe<Body>({ $ref, description: reasons[status] })]),
  );
}

/** A reference to a schema that `server.ts` adds under its `$id`. */
export function ref<Body>(schema: TSchema, description: string) {
  return Type.Unsafe<Body>({ $ref: nameOf(schema), description });
}
export function listOf<Body>(schema: TSchema, description: string) {
  return Type.Unsafe<Body[]>({ type: 'array', items: { $ref: nameOf(schema) }, description });
}
function nameOf(schema: TSchema): string {
  return `${(schema as { $id?: string }).$id}#`;
}

export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      maxLength: 255,
      description:
        'The same key with the same body is answered as before, for a day; with another body it is refused (422).',
    }),
  ),
});

export const V0ErrorBody = Type.Object(
  { msg: Type.String({ description: 'For the user: what went wrong.' }) },
  { $id: 'V0Error' },
);

export const redirectAnswer = {
  description: 'Where the store has the bytes, for who asked for a redirect.',
  type: 'null' as const,
  headers: {
    location: { type: 'string', description: 'A link that expires after 15 minutes. It is a secret.' },
    'x-forestay-sha256': { type: 'string', description: 'What the bytes must have, in hex.' },
  },
};

export const binaryAnswer = {
  description: 'The bytes of the backup.',
  content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
};
