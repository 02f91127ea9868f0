import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { getCACertificates } from 'node:tls';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { S3Location } from './location.ts';
import { addMd5ToDeletions, watchClock } from './middleware.ts';

/** Milliseconds; more means that nobody is there. */
const connectMs = 10_000;

export interface ClientOptions {
  /** PEM certificates that are trusted beside the usual ones. */
  readonly ca?: string | undefined;
  /** Default: the SDK's chain (AWS_… variables, profiles, web identity, roles of containers and machines). */
  readonly credentials?: S3ClientConfig['credentials'];
  /** Hears by how many milliseconds the server is ahead of this machine. */
  readonly onSkew: (ms: number) => void;
}

/**
 * The SDK's client, made to fit servers of all ages and makes. It does not repeat requests: which of them may be, and for how
 * long, is known to those who make them, and its own waits between tries would not be ended by a signal.
 */
export function makeClient(location: S3Location, options: ClientOptions): S3Client {
  const { endpoint, region, pathStyle } = location;
  // Like the AWS_… variables these are read by the library itself: HTTPS_PROXY, HTTP_PROXY, NO_PROXY, large or small.
  const agentOptions = { keepAlive: true, maxSockets: 256, proxyEnv: process.env };
  const ca = options.ca === undefined ? {} : { ca: [...getCACertificates('default'), options.ca] };
  const client = new S3Client({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    forcePathStyle: pathStyle,
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
    maxAttempts: 1,
    // Many servers refuse the newer checksum headers; what is sent instead is in middleware.ts and put-request.ts.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: new NodeHttpHandler({
      connectionTimeout: connectMs,
      // Time limits are set for each request: this one would also end a get whose reader is slow.
      socketTimeout: 0,
      httpAgent: new HttpAgent(agentOptions),
      httpsAgent: new HttpsAgent({ ...agentOptions, ...ca }),
    }),
  });
  addMd5ToDeletions(client);
  watchClock(client, options.onSkew);
  return client;
}
