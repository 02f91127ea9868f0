import type { FastifyReply } from 'fastify';

/** Aborts when the client goes away before it has its answer, or the server shuts down. */
export function requestSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  const { raw } = reply;
  const notice = () => {
    if (!raw.writableFinished) gone.abort(new Error('The client went away.'));
  };
  if (raw.destroyed) notice();
  else raw.once('close', notice);
  return AbortSignal.any([gone.signal, reply.server.shutdown]);
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Aborts when the server begins to close. */
    shutdown: AbortSignal;
  }
}
