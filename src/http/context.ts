import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, RawServerDefault } from 'fastify';
import manifest from '../../package.json' with { type: 'json' };
import type { IdentityProvider } from '../auth/identity.ts';
import type { Context } from '../operations/context.ts';
import { downloadLimit, maxDownloads } from './download-limit.ts';

/** What the server is made of; `app.ts` puts it together. */
export interface HttpSettings {
  readonly operations: Context;
  /** Asked in this order. */
  readonly identity: readonly IdentityProvider[];
  /** What users see, without a slash at the end: for links and cookies. Undefined: what the server listens on. */
  readonly publicUrl: string | undefined;
  /** A pino logger. One line a request is written to it. */
  readonly log: FastifyBaseLogger;
  /** Whether work can be taken on, for `GET /readyz`; the database is asked where nothing else is given. */
  readonly readiness?: (signal: AbortSignal) => Promise<Readiness>;
  /** Bytes of a request's body; 1 MiB unless told. */
  readonly bodyLimit?: number;
  /** Downloads at once in this process. */
  readonly maxDownloads?: number;
}

/** The same, with everything decided. */
export interface HttpContext extends Required<Omit<HttpSettings, 'log' | 'maxDownloads'>> {
  readonly publicUrl: string;
  readonly version: string;
  /** Takes a place for a download; throws when all are taken. */
  readonly takeDownloadPlace: (reply: FastifyReply) => void;
}

export interface Readiness {
  readonly ready: boolean;
  /** What is not, a sentence each; for everybody's eyes. */
  readonly reasons: readonly string[];
}

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

export function makeContext(settings: HttpSettings, app: App): HttpContext {
  const { operations, identity, publicUrl } = settings;
  return {
    operations,
    identity,
    get publicUrl() {
      return publicUrl ?? listenUrl(app);
    },
    version: manifest.version,
    takeDownloadPlace: downloadLimit(settings.maxDownloads ?? maxDownloads),
    readiness: settings.readiness ?? ((signal) => databaseAnswers(operations, signal)),
    bodyLimit: settings.bodyLimit ?? defaultBodyLimit,
  };
}

export const defaultBodyLimit = 1024 * 1024;

function listenUrl(app: App): string {
  const address = app.server.address();
  if (address === null || typeof address === 'string') return 'http://localhost';
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${host === '[::]' || host === '0.0.0.0' ? 'localhost' : host}:${address.port}`;
}

async function databaseAnswers({ db }: Context, signal: AbortSignal): Promise<Readiness> {
  const answer = db.selectFrom('site').select('site_id').executeTakeFirst();
  // A query that hangs is left to itself: the driver has no way to take it back.
  const tooLate = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  await Promise.race([answer, tooLate]);
  return { ready: true, reasons: [] };
}
