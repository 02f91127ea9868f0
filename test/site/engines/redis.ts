import { createRedisDataset } from '../../../demo/redis/dataset.ts';

/** Redis's row of the recovery between two sites: the data of the demo. */
export const redis = {
  engine: 'redis',
  async startServer() {
    const server = await createRedisDataset().startServer();
    return {
      connection: server.connection,
      fill: () => server.fill('small', () => {}, new AbortController().signal),
      change: () => server.destroySomeData(),
      fingerprint: async (): Promise<unknown> => Object.fromEntries((await server.fingerprint()).facts),
      close: () => server.destroy(),
    };
  },
};
