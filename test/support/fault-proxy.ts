import { once } from 'node:events';
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** What goes wrong with a request or its answer. */
export type Fault =
  /** Never answers; the request does not get through. */
  | { readonly kind: 'silence' }
  /** Resets the connection; `after`: the request got through all the same, only its answer is lost. */
  | { readonly kind: 'reset'; readonly when: 'before' | 'after' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** Lets the request through when something else has happened. */
  | { readonly kind: 'wait'; readonly until: Promise<unknown> }
  /** Gives out so many bytes of the answer's body, then resets or falls silent, or ends as if that were all. */
  | { readonly kind: 'cut'; readonly bytes: number; readonly ending: 'reset' | 'silence' | 'end' }
  /** Takes the length out of the answer. */
  | { readonly kind: 'no-length' }
  /** Says that the answer has so many bytes more, or fewer, than it has. */
  | { readonly kind: 'wrong-length'; readonly by: number }
  /** Lets so many bytes of the request's body through, then breaks off on both sides. */
  | { readonly kind: 'cut-request'; readonly bytes: number }
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    };

/** Says what goes wrong with a request, if anything; `seen` counts the requests before it that this rule was asked about. */
export type Rule = (request: IncomingMessage, seen: number) => Fault | undefined;

export interface FaultProxy {
  readonly url: string;
  /** Method and path of everything that was asked, in order. */
  readonly requests: string[];
  /** Requests that have not ended. */
  underWay(): number;
  setRule(rule: Rule | undefined): void;
  /** Breaks every connection of clients; new ones are taken. */
  dropConnections(): void;
  close(): Promise<void>;
}

/** An HTTP proxy in front of one server, whose faults a test chooses. It leaves the Host header as it was: signatures hold. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(target);
  const requests: string[] = [];
  let rule: Rule | undefined;
  let seen = 0;
  let underWay = 0;

  const server = createServer((incoming, outgoing) => {
    requests.push(`${incoming.method} ${incoming.url}`);
    underWay += 1;
    outgoing.on('close', () => {
      underWay -= 1;
    });
    incoming.on('error', () => {});
    outgoing.on('error', () => {});
    const fault = rule?.(incoming, seen++);
    handle(incoming, outgoing, fault, () => {
      const { method, url, headers } = incoming;
      return request({ hostname, port, method, path: url, headers, agent: false });
    }).catch(() => outgoing.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('No port.');
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    underWay: () => underWay,
    setRule(next) {
      rule = next;
      seen = 0;
    },
    dropConnections: () => server.closeAllConnections(),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function handle(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  fault: Fault | undefined,
  forward: () => ClientRequest,
): Promise<void> {
  if (fault?.kind === 'silence') return void incoming.resume();
  if (fault?.kind === 'reset' && fault.when === 'before') return void incoming.socket.resetAndDestroy();
  if (fault?.kind === 'delay') await sleep(fault.ms);
  if (fault?.kind === 'wait') await fault.until;
  if (fault?.kind === 'answer') {
    incoming.resume();
    await once(incoming, 'end');
    outgoing
      .writeHead(fault.status, { 'content-type': 'application/xml', ...fault.headers })
      .end(fault.body ?? '');
    return;
  }
  const onward = forward();
  // After its answer, too: a server may answer before it has read everything, and hang up.
  onward.on('error', () => {});
  outgoing.on('close', () => onward.destroy());
  if (fault?.kind === 'cut-request') return cutRequest(incoming, onward, fault.bytes);
  incoming.pipe(onward);
  const [answer] = (await once(onward, 'response')) as [IncomingMessage];
  answer.on('error', () => {
    if (fault?.kind !== 'cut') outgoing.destroy();
  });
  if (fault?.kind === 'reset') {
    answer.resume();
    await once(answer, 'end');
    return void incoming.socket.resetAndDestroy();
  }
  const headers = { ...answer.headers };
  if (fault?.kind === 'no-length' || (fault?.kind === 'cut' && fault.ending === 'end'))
    delete headers['content-length'];
  const length = headers['content-length'];
  if (fault?.kind === 'wrong-length' && length !== undefined)
    headers['content-length'] = String(Math.max(0, Number(length) + fault.by));
  outgoing.writeHead(answer.statusCode ?? 502, headers);
  if (fault?.kind !== 'cut') return void answer.pipe(outgoing);
  let left = fault.bytes;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    outgoing.write(chunk.subarray(0, left));
    left -= chunk.length;
    if (left <= 0) break;
  }
  if (fault.ending === 'end') outgoing.end();
  // The bytes must have left before the reset takes back what is still on its way.
  else if (fault.ending === 'reset') {
    await sleep(50);
    incoming.socket.resetAndDestroy();
  }
}

async function cutRequest(incoming: IncomingMessage, onward: ClientRequest, bytes: number): Promise<void> {
  let left = bytes;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    if (left > 0) onward.write(chunk.subarray(0, left));
    left -= chunk.length;
    if (left <= 0) break;
  }
  onward.destroy();
  incoming.socket.resetAndDestroy();
}

/** An answer in the words of S3. */
export function s3Error(status: number, code: string, headers: Record<string, string> = {}): Fault {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${code} it is</Message></Error>`;
  return { kind: 'answer', status, headers, body };
}
