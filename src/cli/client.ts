import { randomUUID } from 'node:crypto';
import type { ClientConfig } from '../config/client.ts';
import { CliError } from './errors.ts';
import { exitCodeOf, exitCodes } from './exit-codes.ts';

/**
 * A thin client of the V1 API: it adds the token, translates errors and retries nothing. Every method throws `CliError`.
 */
export interface Client {
  /** For people. */
  readonly url: string;
  get<T>(path: string): Promise<T>;
  /** Carries a fresh `Idempotency-Key`, for whatever stands between. */
  post<T>(path: string, body?: object): Promise<T>;
  patch<T>(path: string, body: object): Promise<T>;
  delete<T>(path: string): Promise<T>;
  /** The answer with its body unread, for downloads. */
  open(path: string, headers: Readonly<Record<string, string>>): Promise<Response>;
  /** What `open` would answer, without its body; undefined where it would be refused, as why is in the body. */
  head(path: string): Promise<Headers | undefined>;
}

/** How long a site may think about an answer; registering an instance makes it connect to that first. */
const answerTimeoutMs = 120_000;

export function connect(config: ClientConfig, signal: AbortSignal): Client {
  async function send(method: string, path: string, init: RequestInit): Promise<Response> {
    if (config.token === undefined) {
      throw new CliError('Unauthorized', exitCodes.notAllowed, 'There is no token to show to the site.', {
        hint: config.tokenMissing,
      });
    }
    const headers = { ...init.headers, authorization: `Bearer ${config.token}` };
    let response: Response;
    try {
      // A redirect would turn a POST into a GET; fetch drops the token where a download is sent to another host.
      const redirect = method === 'GET' || method === 'HEAD' ? 'follow' : 'manual';
      response = await fetch(config.url + path, { signal, redirect, ...init, method, headers });
    } catch (cause) {
      throw signal.aborted ? signal.reason : unreachable(config.url, cause);
    }
    return response;
  }

  async function sendWell(method: string, path: string, init: RequestInit): Promise<Response> {
    const response = await send(method, path, init);
    if (response.ok) return response;
    throw await errorOf(response, config.url);
  }

  async function json<T>(
    method: string,
    path: string,
    body?: object,
    more?: Record<string, string>,
  ): Promise<T> {
    const response = await sendWell(method, path, {
      headers: { accept: 'application/json', ...(body && { 'content-type': 'application/json' }), ...more },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerTimeoutMs)]),
    });
    try {
      const text = await response.text();
      return (text === '' ? {} : JSON.parse(text)) as T;
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      throw cause instanceof SyntaxError
        ? notForestay(config.url, response.status)
        : unreachable(config.url, cause);
    }
  }

  return {
    url: config.url,
    get: (path) => json('GET', path),
    post: (path, body) => json('POST', path, body, { 'idempotency-key': randomUUID() }),
    patch: (path, body) => json('PATCH', path, body),
    delete: (path) => json('DELETE', path),
    open: (path, headers) => sendWell('GET', path, { headers }),
    async head(path) {
      const response = await send('HEAD', path, {});
      return response.ok ? response.headers : undefined;
    },
  };
}

async function errorOf(response: Response, url: string): Promise<CliError> {
  const { status } = response;
  const requestId = response.headers.get('x-request-id') ?? undefined;
  const body: unknown = await response.json().catch(() => undefined);
  if (status >= 300 && status < 400) {
    return new CliError(
      'Redirected',
      exitCodes.usage,
      `${url} is not the site itself: it answers with a redirect.`,
      {
        hint: `Use the address it names: ${response.headers.get('location') ?? 'none'}`,
      },
    );
  }
  if (!isErrorBody(body)) return notForestay(url, status);
  return new CliError(body.error, exitCodeOf(body.error, status), body.description, {
    hint: body.hint ?? (status === 401 ? 'Check FORESTAY_TOKEN or --token-file.' : undefined),
    requestId,
  });
}

function isErrorBody(body: unknown): body is { error: string; description: string; hint?: string } {
  const { error, description } = (body ?? {}) as { error?: unknown; description?: unknown };
  return typeof error === 'string' && typeof description === 'string';
}

function notForestay(url: string, status: number): CliError {
  const code = status >= 500 ? exitCodes.unreachable : exitCodes.failed;
  return new CliError(
    'NotForestay',
    code,
    `What answers at ${url} is not Forestay's API (status ${status}).`,
    {
      hint: 'Check the address in FORESTAY_URL or --url.',
    },
  );
}

function unreachable(url: string, error: unknown): CliError {
  return new CliError('Unreachable', exitCodes.unreachable, `${url} cannot be reached: ${reasonOf(error)}.`, {
    hint: 'Check FORESTAY_URL or --url, and that the site runs (forestay serve).',
    cause: error,
  });
}

function reasonOf(error: unknown): string {
  if ((error as Error).name === 'TimeoutError') return `no answer within ${answerTimeoutMs / 1000} seconds`;
  const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
  const words: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'there is no host of that name',
    EAI_AGAIN: 'the name of the host could not be looked up',
    UND_ERR_CONNECT_TIMEOUT: 'no answer to the attempt to connect',
    UND_ERR_SOCKET: 'the connection broke',
    ECONNRESET: 'the connection broke',
  };
  return words[cause?.code ?? ''] ?? cause?.message ?? (error as Error).message;
}
