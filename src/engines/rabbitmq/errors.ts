import { type ErrorCode, ForestayError } from '../../core/errors.ts';
import { isObject, type Json } from './json.ts';

interface Meaning {
  readonly code: ErrorCode;
  readonly hint: string;
}

const unreachable: Meaning = {
  code: 'InstanceUnreachable',
  hint: 'Check host and port of the management API (15672, or 15671 with TLS), that the broker runs with the plugin rabbitmq_management, and that this worker may reach it; then try again.',
};
const wrongLogin: Meaning = {
  code: 'InstanceRefused',
  hint: 'Check username and password. The user needs the tag administrator: rabbitmqctl set_user_tags <user> administrator',
};
const tls: Meaning = {
  code: 'InstanceRefused',
  hint: 'Check tls, and that ca holds the authority that signed the certificate of the broker.',
};
const refused: Meaning = {
  code: 'InstanceRefused',
  hint: 'Enable the plugins that the backup needs (exchange types, shovel, federation), and check that the user is an administrator.',
};
const notRabbitmq: Meaning = {
  code: 'InstanceRefused',
  hint: 'Check host, port and path: 15672 is the usual port of the management API, 5672 is that of clients.',
};

/** Errors of sockets, of TLS and of HTTP itself, in the words of the catalogue. */
export function translateError(error: unknown, what: string): Error {
  if (error instanceof ForestayError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string') return error instanceof Error ? error : new Error(String(error));
  if (/^(E[A-Z]+|EAI_AGAIN)$/.test(code) && code !== 'EPROTO') return say(unreachable, what, code, error);
  if (/^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|EPROTO)/.test(code))
    return say(tls, what, code, error);
  if (code.startsWith('HPE_')) return say(notRabbitmq, what, 'what answers does not speak HTTP', error);
  return error as Error;
}

/** What the broker answered instead of what it was asked for. */
export function answerError(status: number, body: Json | undefined, what: string): ForestayError {
  const said = reasonOf(body);
  if (status === 401) return say(wrongLogin, what, said ?? 'the broker refuses the login');
  if (status >= 500) return say(unreachable, what, `the broker answers with an error (${status})`);
  if (status >= 300 && status < 400) return say(notRabbitmq, what, 'the answer is a redirect');
  if (said === undefined) return say(notRabbitmq, what, `the answer (${status}) is not RabbitMQ's`);
  return say(refused, what, said);
}

/** The answer was begun, or pretends to be whole, and is not. */
export function brokenAnswer(what: string, why: string): ForestayError {
  return say(unreachable, what, why);
}

/** The user that a restore works as is gone: it was taken away to end this attempt. */
export function fenced(): ForestayError {
  return new ForestayError('InstanceBusy', 'The broker does not take orders of this attempt any more.', {
    hint: 'Another attempt has taken over, or somebody deleted the user forestay-… at the broker. It is tried again.',
  });
}

function say({ code, hint }: Meaning, what: string, why: string, cause?: unknown): ForestayError {
  return new ForestayError(code, `${what}: ${why}.`, cause === undefined ? { hint } : { hint, cause });
}

/** For people, on one line. RabbitMQ gives some texts as lists of code points. URIs may hold passwords. */
function reasonOf(body: Json | undefined): string | undefined {
  if (!isObject(body) || (body.error === undefined && body.reason === undefined)) return undefined;
  const text = spoken(body.reason ?? body.error ?? '')
    .replace(/[a-z][a-z0-9+.-]*:\/\/(?:[^"]*(?=")|\S+)/gi, '…')
    // Also without a scheme, where that is what is wrong with it.
    .replace(/[^\s"]*:[^\s"]*@[^\s"]*/g, '…')
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/\.$/, '');
  return text.slice(0, 400);
}

function spoken(value: Json): string {
  if (!Array.isArray(value)) return typeof value === 'string' ? value : JSON.stringify(value);
  const list = value as readonly Json[];
  const isText = list.length > 0 && list.every((each) => Number.isInteger(each));
  return isText ? String.fromCodePoint(...list.map(Number)) : list.map(spoken).join(' ');
}
