import { makeMariadbInstance } from '../../engines/mariadb/instance.ts';
import { startMariadbServer } from '../../support/mariadb-server.ts';

/** For the recovery between two sites: each server is a machine of its own. */
export const mariadb = {
  engine: 'mariadb',
  startServer: async () => {
    const server = await startMariadbServer({ fsync: 'off' });
    const instance = await makeMariadbInstance(server, 'owner', 'shop');
    return {
      connection: instance.connection,
      fill: () => instance.fill('bulk'),
      change: () => instance.write(),
      fingerprint: async () => {
        const { tables, problems } = await instance.fingerprint();
        return { tables, problems };
      },
      close: () => server.stop(),
    };
  },
};
