import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ForestayError } from '../../core/errors.ts';
import { abortError, onAbort } from '../../pipeline/abort.ts';
import type { Target } from './connection.ts';
import { translateError, unreachable } from './errors.ts';

const connectMs = 15_000;

/** A connected socket, with TLS where the target wants it. Throws translated errors. */
export function openSocket(target: Target, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return void reject(abortError(signal));
    const { host, port, tls } = target;
    const encrypted = tls !== 'disable';
    const socket = encrypted ? connectTls({ host, port, ...tlsOptions(target) }) : connectTcp({ host, port });
    const late = () =>
      fail(
        new ForestayError('InstanceUnreachable', `${host} did not answer within ${connectMs / 1000} s.`, {
          hint: unreachable.hint,
        }),
      );
    const timer = setTimeout(late, connectMs);
    const release = onAbort(signal, (error) => fail(error));
    const settle = () => {
      clearTimeout(timer);
      release();
      socket.off('error', fail);
    };
    const fail = (error: Error) => {
      settle();
      socket.on('error', () => {});
      socket.destroy();
      reject(translateError(error, `No connection to ${host}`));
    };
    socket.on('error', fail);
    socket.once(encrypted ? 'secureConnect' : 'connect', () => {
      settle();
      socket.setNoDelay(true);
      socket.setKeepAlive(true, 30_000);
      resolve(socket);
    });
  });
}

function tlsOptions({ host, tls, tls_ca, tls_cert, tls_key }: Target) {
  return {
    rejectUnauthorized: tls === 'verify',
    // Names of servers that share an address; an address is no name.
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(tls_ca ? { ca: tls_ca } : {}),
    ...(tls_cert && tls_key ? { cert: tls_cert, key: tls_key } : {}),
  };
}
