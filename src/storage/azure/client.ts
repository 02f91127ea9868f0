import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { getCACertificates } from 'node:tls';
import {
  AnonymousCredential,
  ContainerClient,
  newPipeline,
  type RequestPolicyFactory,
  RestError,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { AzureAccess } from './credentials.ts';
import type { AzureLocation } from './location.ts';

export interface ClientOptions {
  readonly access: AzureAccess;
  /** Of the account's blob service. */
  readonly endpoint: string;
  /** PEM certificates that are trusted beside the usual ones. */
  readonly ca: string | undefined;
  /** Hears by how many milliseconds the server is ahead of this machine. */
  readonly onSkew: (ms: number) => void;
}

/** The SDK's client, and what ends its idle connections. */
export interface Client {
  readonly container: ContainerClient;
  close(): void;
}

/**
 * The SDK's client. It does not repeat requests: which of them may be, and for how long, is known to those who make them,
 * and its own waits between tries know nothing of theirs.
 */
export function makeClient(location: AzureLocation, options: ClientOptions): Client {
  const { access, endpoint } = options;
  // Like the AZURE_… variables these are read by the library itself: HTTPS_PROXY, HTTP_PROXY, NO_PROXY, large or small. The SDK's own
  // way knows one proxy for both schemes and no certificates beside it.
  const agentOptions = { keepAlive: true, maxSockets: 256, proxyEnv: process.env };
  const ca = options.ca === undefined ? {} : { ca: [...getCACertificates('default'), options.ca] };
  const agent = endpoint.startsWith('https:')
    ? new HttpsAgent({ ...agentOptions, ...ca })
    : new HttpAgent(agentOptions);
  const credential =
    access.kind === 'key'
      ? new StorageSharedKeyCredential(location.account, access.secret)
      : new AnonymousCredential();
  const pipeline = newPipeline(credential, { retryOptions: { maxTries: 1 } });
  pipeline.factories.push(requestsThrough(agent, options.onSkew));
  const url = `${endpoint}/${location.container}${access.kind === 'sas' ? `?${access.secret}` : ''}`;
  return { container: new ContainerClient(url, pipeline), close: () => agent.destroy() };
}

/** Every answer has a date, refusals too. */
function requestsThrough(agent: HttpAgent, onSkew: (ms: number) => void): RequestPolicyFactory {
  const watch = (date: string | undefined) => {
    const ms = Date.parse(date ?? '') - Date.now();
    if (Number.isFinite(ms)) onSkew(ms);
  };
  return {
    create: (next) => ({
      async sendRequest(request) {
        request.agent = agent;
        try {
          const answer = await next.sendRequest(request);
          watch(answer.headers.get('date'));
          return answer;
        } catch (error) {
          if (error instanceof RestError) watch(error.response?.headers.get('date'));
          throw error;
        }
      },
    }),
  };
}
