import { isIP } from 'node:net';
import { connect } from 'node:tls';

/** Milliseconds for finding out. */
const handshakeMs = 3_000;

/**
 * Whether the host and port of an endpoint speak TLS. A server that is spoken to in plain http on its port for https often just
 * closes the connection, which tells nobody what is wrong. Believes any certificate: nothing is sent.
 */
export async function speaksTls(endpoint: string, signal: AbortSignal): Promise<boolean> {
  const { protocol, hostname, port } = new URL(endpoint);
  const host = hostname.replace(/^\[|\]$/g, '');
  const socket = connect({
    host,
    port: Number(port || (protocol === 'https:' ? 443 : 80)),
    rejectUnauthorized: false,
    ...(isIP(host) ? {} : { servername: host }),
  });
  const ended = AbortSignal.any([signal, AbortSignal.timeout(handshakeMs)]);
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once('secureConnect', () => resolve(true));
      socket.once('error', () => resolve(false));
      socket.once('close', () => resolve(false));
      if (ended.aborted) resolve(false);
      else ended.addEventListener('abort', () => resolve(false), { once: true });
    });
  } finally {
    socket.on('error', () => {});
    socket.destroy();
  }
}
