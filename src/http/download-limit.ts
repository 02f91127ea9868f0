import { finished } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { HttpError } from './errors.ts';

/** Downloads at once in this process: each holds some 16 MiB, and the form made on the fly keeps a core busy. */
export const maxDownloads = 16;
const retryAfterSeconds = 10;

/** Takes a place for a download until its answer has ended, however; throws 429 when there is none. */
export function downloadLimit(max: number): (reply: FastifyReply) => void {
  let active = 0;
  return (reply) => {
    if (active >= max) {
      throw new HttpError(
        429,
        'TooManyRequests',
        `${max} downloads are under way. Try again in ${retryAfterSeconds} seconds.`,
        { 'retry-after': String(retryAfterSeconds) },
      );
    }
    active += 1;
    finished(reply.raw, () => {
      active -= 1;
    });
  };
}
