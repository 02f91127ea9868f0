import { createRabbitmqDataset } from '../../../demo/rabbitmq/dataset.ts';

/** RabbitMQ's row of the recovery between two sites: the topology of the demo. */
export const rabbitmq = {
  engine: 'rabbitmq',
  async startServer() {
    const server = await createRabbitmqDataset().startServer();
    return {
      connection: server.connection,
      fill: () => server.fill('small', () => {}, new AbortController().signal),
      change: () => server.destroySomeData(),
      fingerprint: async (): Promise<unknown> => [...(await server.fingerprint()).facts],
      close: () => server.destroy(),
    };
  },
};
