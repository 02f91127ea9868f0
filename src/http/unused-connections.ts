import type { Socket } from 'node:net';
import type { App } from './context.ts';

/**
 * Makes `close()` also end connections on which no request has come yet: browsers and HTTP clients open some in advance, and
 * checks of ports do. Node's own `closeIdleConnections()` leaves those for as long as the client wants.
 */
export function endUnusedConnections(app: App): void {
  const unused = new Set<Socket>();
  let closing = false;
  app.server.on('connection', (socket: Socket) => {
    if (closing) return void socket.destroy();
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  app.server.on('request', ({ socket }) => unused.delete(socket));
  app.addHook('preClose', async () => {
    closing = true;
    for (const socket of unused) socket.destroy();
  });
}
