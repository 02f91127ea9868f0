import { Agent, type IncomingMessage, request as overHttp } from 'node:http';
import { request as overHttps, Agent as TlsAgent } from 'node:https';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import { maxBytes } from './backup-file.ts';
import type { Target } from './connection.ts';
import { answerError, brokenAnswer, fenced, translateError } from './errors.ts';
import { type Json, parseJson } from './json.ts';

/** The management API of one broker, as one user. Every method throws `ForestayError`s and obeys the signal at once. */
export interface Api extends Disposable {
  /** Undefined where there is no such thing. */
  get(path: readonly string[], query?: string): Promise<Json | undefined>;
  put(path: readonly string[], body: Json): Promise<void>;
  post(path: readonly string[], body: Json): Promise<Json | undefined>;
  /** Resolves also when it was gone already. */
  delete(path: readonly string[], query?: string): Promise<void>;
  /** Whether the broker did it; `false` when it refused, as it does for a queue that is not empty. */
  tryDelete(path: readonly string[], query: string): Promise<boolean>;
  /** The same broker as another user, or under another signal. */
  as(changes: { login?: Login; signal?: AbortSignal }): Api;
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

export interface ApiLimits {
  /** After how many milliseconds without a byte a request fails. */
  readonly stallMs: number;
  /** After how many milliseconds a request fails, however many bytes come. */
  readonly requestMs: number;
}

export const usualLimits: ApiLimits = { stallMs: 60_000, requestMs: 10 * 60_000 };

/** Connections are kept and used again until the API is disposed of. */
export function openApi(
  target: Target,
  { limits, signal, login = target }: { limits: ApiLimits; signal: AbortSignal; login?: Login },
): Api {
  const options = { keepAlive: true, maxSockets: concurrency };
  const agent =
    target.tls === 'off'
      ? new Agent(options)
      : new TlsAgent({
          ...options,
          rejectUnauthorized: target.tls === 'verify',
          ...(target.ca === undefined ? {} : { ca: target.ca }),
        });

  const send = async (method: string, path: readonly string[], query = '', body?: Json): Promise<Answer> => {
    const what = failed(method, path);
    const stop = AbortSignal.any([signal, AbortSignal.timeout(limits.requestMs)]);
    try {
      if (signal.aborted) throw abortError(signal);
      const answer = await exchange(target, login, agent, limits, {
        method,
        path: `${target.path}/api/${path.map(segment).join('/')}${query === '' ? '' : `?${query}`}`,
        body: body === undefined ? undefined : Buffer.from(JSON.stringify(body)),
        what,
        signal: stop,
      });
      if (answer.status === 401 && login !== target) throw fenced();
      return answer;
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      if (stop.aborted)
        throw brokenAnswer(what, `the broker did not finish its answer in ${limits.requestMs / 1000} s`);
      throw translateError(error, what);
    }
  };
  const well = async (...args: Parameters<typeof send>) => {
    const answer = await send(...args);
    if (answer.status < 300) return answer;
    throw answerError(answer.status, answer.body, failed(args[0], args[1]));
  };

  return {
    async get(path, query) {
      const answer = await send('GET', path, query);
      // Without a reason in RabbitMQ's own words what answers is something else.
      if (answer.status === 404 && answer.body !== undefined) return undefined;
      if (answer.status !== 200) throw answerError(answer.status, answer.body, failed('GET', path));
      if (answer.body === undefined) throw brokenAnswer(failed('GET', path), 'the answer is empty');
      return answer.body;
    },
    put: async (path, body) => void (await well('PUT', path, '', body)),
    post: async (path, body) => (await well('POST', path, '', body)).body,
    delete: async (path, query) => {
      const answer = await send('DELETE', path, query);
      if (answer.status >= 300 && answer.status !== 404)
        throw answerError(answer.status, answer.body, failed('DELETE', path));
    },
    tryDelete: async (path, query) => {
      const answer = await send('DELETE', path, query);
      if (answer.status < 300 || answer.status === 404) return true;
      if (answer.status === 400) return false;
      throw answerError(answer.status, answer.body, failed('DELETE', path));
    },
    as: (changes) =>
      openApi(target, { limits, signal: changes.signal ?? signal, login: changes.login ?? login }),
    [Symbol.dispose]: () => agent.destroy(),
  };
}

/** How many requests are under way at a time. */
export const concurrency = 4;

/** Runs something for each, a few at a time; the first failure is thrown when those under way have ended. */
export async function forEach<T>(items: Iterable<T>, run: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failed = false;
  const lane = async () => {
    for (let next = iterator.next(); !next.done && !failed; next = iterator.next()) {
      try {
        await run(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: concurrency }, lane));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Names that cannot be a part of a path: the broker takes them for steps in it, however they are written. */
export function isAddressable(...names: readonly string[]): boolean {
  return names.every((name) => name !== '' && name !== '.' && name !== '..');
}

/** Names of things stay out of messages; which kind of thing it was is enough. */
function failed(method: string, [kind]: readonly string[]): string {
  return `${method} ${kind} at the broker failed`;
}

interface Answer {
  readonly status: number;
  /** Undefined when it is not JSON. */
  readonly body: Json | undefined;
}

function segment(name: string): string {
  if (isAddressable(name)) return encodeURIComponent(name);
  throw new ForestayError('InstanceRefused', `The management API cannot address the name "${name}".`, {
    hint: 'Remove or rename it with another tool, such as rabbitmqctl.',
  });
}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly body: Buffer | undefined;
  readonly what: string;
  readonly signal: AbortSignal;
}

function exchange(
  target: Target,
  login: Login,
  agent: Agent,
  { stallMs }: ApiLimits,
  { method, path, body, what, signal }: Request,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = (target.tls === 'off' ? overHttp : overHttps)(
      {
        ...{ host: target.host, port: target.port, method, path, agent, signal },
        auth: `${login.username}:${login.password}`,
        headers: {
          // Where limits of users are deleted the broker says that it has no JSON to answer with (406).
          accept: method === 'DELETE' ? 'application/json, */*;q=0.1' : 'application/json',
          ...(body && { 'content-type': 'application/json', 'content-length': body.length }),
        },
      },
      (answer) => {
        read(answer, what).then(resolve, (error) => {
          request.destroy();
          reject(error);
        });
      },
    );
    request.setTimeout(stallMs, () =>
      request.destroy(brokenAnswer(what, `the broker said nothing for ${stallMs / 1000} s`)),
    );
    request.on('error', reject);
    request.end(body);
  });
}

async function read(answer: IncomingMessage, what: string): Promise<Answer> {
  const status = answer.statusCode ?? 0;
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > maxBytes) {
      throw new ForestayError('InstanceRefused', `${what}: the answer is larger than ${maxBytes} bytes.`, {
        hint: 'A broker with so many definitions is not supported; register its vhosts as instances of their own.',
      });
    }
    pieces.push(piece);
  }
  if (size === 0) return { status, body: undefined };
  try {
    return { status, body: parseJson(Buffer.concat(pieces).toString('utf8')) };
  } catch {
    if (status < 300) throw brokenAnswer(what, 'the answer is not JSON, or not all of it');
    return { status, body: undefined };
  }
}
